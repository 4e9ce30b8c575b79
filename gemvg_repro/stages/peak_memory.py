"""The most memory that this process has taken so far."""

from __future__ import annotations

import resource

import torch


def peak_memory() -> dict[str, int]:
    """Megabytes on the host, and where it computes on GPUs what torch allocated on the fullest of them."""
    peak = {"peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}
    if torch.cuda.is_available():
        allocated = (torch.cuda.max_memory_allocated(n) for n in range(torch.cuda.device_count()))
        peak["peak_gpu_memory_mb"] = round(max(allocated) / 2**20)
    return peak
