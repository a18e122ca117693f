"""Models in, out and at work."""
