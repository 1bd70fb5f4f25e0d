"""nnU-Net's networks and model folders for medseg."""
