"""The shared types and text formats: boxes, samples, prompts, answers and rewards. numpy and scipy only."""
