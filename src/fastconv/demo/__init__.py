"""``fastconv demo``: every heading of the lecture as something that runs, trains and can be looked at.

One file per demonstration; each has a ``run`` that trains on data made here or bundled with scikit-learn, saves a picture and returns the
lines that the command prints.
"""
