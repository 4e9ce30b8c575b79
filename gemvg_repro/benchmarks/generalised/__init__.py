"""The generalised test set: scores of samples, difficulty, shortcut baselines."""
