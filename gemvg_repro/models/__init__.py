"""Models of the supported families: loading, saving and checking checkpoints, fast paths, and batched generation."""
