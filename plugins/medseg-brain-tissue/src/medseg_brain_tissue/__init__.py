"""The models of medseg-brain-tissue."""
