"""Which kernel does a layer, and with what: its weights laid out, and how much is done at once."""
