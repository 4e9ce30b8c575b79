"""The commands of sweeps/launch.py, one a module."""
