"""The core's own plugin: what a bare medseg can do, registered like any other."""
