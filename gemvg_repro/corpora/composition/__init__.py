"""Annotated frames to samples, one composer for each kind of association; and the proof of each sample."""
