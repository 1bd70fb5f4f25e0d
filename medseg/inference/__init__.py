"""Run a network over a volume: windows, stitching, and the way back to labels."""
