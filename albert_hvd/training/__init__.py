"""Pre-training and validation."""
