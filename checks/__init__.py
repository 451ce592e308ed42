"""Checks of a machine: the GPU check and the benchmark (tools/gpu_check.py, tools/benchmark.py).

A part of a check is a function that takes :class:`checks.options.Options` and returns a dictionary.
Each runs in a process of its own, since Caffe ends the process when a GPU fails it, and so that a
part's peak memory is its own. :mod:`checks.parts` lists the parts, :mod:`checks.report` prints what
they return.
"""
