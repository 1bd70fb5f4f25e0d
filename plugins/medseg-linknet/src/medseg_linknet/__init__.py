"""3-D LinkNet for medseg, with the pretrained model ``brain-mask``."""
