"""Sentences -> records on disk, and back."""
