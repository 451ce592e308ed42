"""Training batches, a module for each model of Table 1; a batch is a pure function of its number.

A maker is called with the number of a batch, from 0, and returns a dict: an array for each top of
the data layer in python_layers/ that serves it, where the arrays are described; and "samples", the
names (str) of the expressions in it.
``maker.shapes`` is {top: shape} in the order of the tops.
"""
