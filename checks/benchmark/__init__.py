"""How fast is it, against what it could be and against others? Figures of one run, as ratios.

Every part is a function that returns a dictionary; ``tools/benchmark.py`` runs each in a process of
its own, so that its peak memory is its own, and one that fails does not stop the rest.
"""
