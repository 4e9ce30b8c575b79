"""The published benchmarks, one or two modules each: annotation file, prompts, official score."""
