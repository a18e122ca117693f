"""Figures about speed and memory, each from one command (bin/benchmark)."""
