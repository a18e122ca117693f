"""What lies in --output_dir: checkpoints, logs, the lock."""
