"""Records -> the batches of a rank, packed or not."""
