"""The GPUs whose memory and speed are known by name, from their makers' data sheets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """A GPU.

    Attributes:
        memory: bytes that a process can allocate.
        flops: a second, dense, in bf16 with fp32 accumulation, at the maker's peak.
        bandwidth: bytes a second between its memory and its cores.
        utilisation: the share of `flops` that training is assumed to reach.
    """

    memory: float
    flops: float
    bandwidth: float
    utilisation: float


GiB = 2.0**30
DEVICES = {
    "A100": Device(79 * GiB, 312e12, 2.0e12, 0.45),
    "H100": Device(79 * GiB, 989e12, 3.35e12, 0.40),
    "H200": Device(139 * GiB, 989e12, 4.8e12, 0.40),
}
"""NVIDIA's data sheets: SXM, the first two with 80 GB; of the memory, what the driver leaves. Utilisations are assumed.
"""
