"""Checks of the machine, not of the code: the GPU check, the benchmark, the network in PyTorch."""
