"""The shared vocabulary: boxes, samples, prompts, answers and rewards. numpy and scipy only."""
