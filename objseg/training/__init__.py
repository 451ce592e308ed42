"""Training: the loop, its snapshots and log, and the memory that it needs."""
