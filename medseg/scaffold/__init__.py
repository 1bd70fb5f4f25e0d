"""``medseg plugin new``: a plugin that works before a word of it is changed."""
