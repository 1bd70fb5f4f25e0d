"""Segmentation without learning."""
