"""The rows of Table 1: how each method turns an image and expressions into masks."""
