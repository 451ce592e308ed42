"""Training batches, a module for each model of Table 1; each is a pure function of its number."""
