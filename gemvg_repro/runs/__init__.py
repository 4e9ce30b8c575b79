"""Run directories: files, ownership, log, snapshot of the code. The only interface between stages and report."""
