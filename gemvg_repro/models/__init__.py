"""Qwen2-VL with its processor: loading, saving and checking checkpoints, fast paths, and batched generation."""
