"""The work of a run: data, training, evaluation, and their prerequisites."""
