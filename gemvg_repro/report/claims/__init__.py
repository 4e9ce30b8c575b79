"""The claims of the paper, and whether the runs bear them out."""
