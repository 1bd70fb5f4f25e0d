"""MONAI's networks and bundles for medseg."""
