"""What is in `output_dir`: checkpoints, logs, the lock."""
