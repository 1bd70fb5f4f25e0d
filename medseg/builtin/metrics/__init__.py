"""The metrics of the core; conventions and definitions stand at each of them, and in the reference."""
