"""Raw text -> clean sentences -> a vocabulary."""
