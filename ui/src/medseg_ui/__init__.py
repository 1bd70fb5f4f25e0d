"""medseg-ui: the viewer of medseg. ``medseg ui`` starts it; ``medseg_ui.launch`` is the way in."""

__version__ = "0.1.0"
