"""Where and with what does this process run, and which of its library versions move numbers?"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..files.atomic import write_bytes
from .json_files import read_json_or_none, write_json
from .layout import ENVIRONMENT
from .snapshot import current

LIBRARIES = ("torch", "transformers", "trl", "numpy", "tokenizers")
"""The libraries whose versions move the numbers."""


@cache
def library_versions() -> Mapping[str, str]:
    """Versions that move the numbers: the LIBRARIES and Python's minor version."""
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "not installed"
    return versions


def devices() -> list[str]:
    """The names of the GPUs that this process computes on, or `cpu`; without PyTorch there are none."""
    torch = sys.modules.get("torch")  # not imported for this: it takes seconds
    count = torch.cuda.device_count() if torch else 0
    return [torch.cuda.get_device_name(index) for index in range(count)] if torch and count else ["cpu"]


def cuda() -> dict[str, str]:
    """The versions of CUDA and of the driver; nothing without a GPU."""
    torch = sys.modules.get("torch")
    if not torch or not torch.cuda.is_available():
        return {}
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, timeout=30).stdout.partition("\n")[0].strip()
    except (OSError, subprocess.TimeoutExpired):
        driver = ""
    return {"cuda": str(torch.version.cuda), "driver": driver or "unknown"}


def environment() -> dict[str, Any]:
    """Host, devices, threads and versions of this process: recorded beside a run, never part of its id."""
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "devices": devices(),
        **cuda(),
        "threads": {k: v for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if (v := os.environ.get(k))},
        "versions": {**library_versions(), "python": platform.python_version()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def record_environment(run: Path, processes: int) -> None:
    """Writes a run's environment.json, which keeps those of the run's earlier processes, and a patch of changed code.

    Raises:
        NotWritten: the disk is full.
        RunError: there is a damaged environment.json.
    """
    previous = read_json_or_none(run / ENVIRONMENT) or {"earlier": []}
    earlier = [*previous.pop("earlier"), previous] if len(previous) > 1 else []
    code, patch = current(), None
    if code.difference:
        content = code.difference.encode()
        patch = f"difference-{hashlib.sha256(content).hexdigest()[:8]}.patch"
        write_bytes(run / patch, content)
    source = {"commit": code.commit, "dirty": patch is not None, "difference": patch}
    write_json(run / ENVIRONMENT, {**source, **environment(), "processes": processes, "earlier": earlier})
