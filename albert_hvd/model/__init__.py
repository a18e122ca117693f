"""Numbers only: the configuration, the encoder, the heads of pre-training."""
