"""V-Net for medseg."""
