"""Active contours that a network can be trained through."""
