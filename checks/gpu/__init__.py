"""The check of a GPU: is everything right on it, how fast is it, and what should it cost?

Every part is a function that returns a dictionary; ``tools/gpu_check.py`` runs each in a process of
its own, since Caffe ends the process where a GPU fails it.
"""
