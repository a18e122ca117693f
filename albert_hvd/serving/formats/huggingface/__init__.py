"""Hugging Face's ALBERT: its names, weight files and tokenizer, read and written."""
