"""What held convolutions give of every picture, computed once and read from disk by training."""
