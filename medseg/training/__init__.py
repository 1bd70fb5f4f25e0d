"""Training: from a folder of volumes and labels to a model with a contract."""
