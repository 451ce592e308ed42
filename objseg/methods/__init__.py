"""The rows of Table 1: how each method turns an image and expressions into masks.

Importing these modules does not load Caffe; opening a net does.
"""
