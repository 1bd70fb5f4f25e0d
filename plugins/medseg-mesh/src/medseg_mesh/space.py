"""The word by which a surface says that its coordinates are RAS."""

SPACE = "SPACE=RAS"
"""What 3D Slicer looks for in the header or comments of each format; without it Slicer assumes LPS."""
