"""The pages of the viewer; each module has a function ``page``."""
