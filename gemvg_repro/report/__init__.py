"""Runs on disk to estimates, tables, figures. Never imports torch."""
