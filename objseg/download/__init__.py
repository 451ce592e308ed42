"""Fetch the published data and weights: what there is, the transfer, and the unpacking."""
