"""Notebooks as processes: here, or as arrays on Slurm; their status. Never imports torch."""
