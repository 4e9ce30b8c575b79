"""The world written in the official formats of sources and benchmarks."""
