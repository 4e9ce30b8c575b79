"""Run directories -> one table of all numbers, with intervals."""
