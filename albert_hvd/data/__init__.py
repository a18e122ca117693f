"""From raw text to a rank's batches."""
