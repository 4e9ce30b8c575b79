"""The pre-training of the miniature's base."""
