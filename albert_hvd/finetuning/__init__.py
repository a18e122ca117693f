"""Task models on top of a pre-trained encoder: classification of texts and tagging of words."""
