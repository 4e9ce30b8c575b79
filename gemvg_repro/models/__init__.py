"""A Qwen-VL model with its processor, and batched generation."""
