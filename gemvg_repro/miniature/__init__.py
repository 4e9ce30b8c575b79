"""The miniature: a procedural world, and Qwen2-VL small enough for a laptop."""
