"""What does this machine have that a training needs: GPUs, memory, disk, versions, a compiler?"""

from __future__ import annotations

import os
import shutil
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch
from packaging.requirements import Requirement

from ..runs.environment import LIBRARIES
from .host_memory import available_memory

_TRIAL_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Machine:
    """What was found, or named in its place.

    Attributes:
        gpus: how many there are, each with `gpu_memory` bytes; 0 computes on the CPU.
        named: whether they were named, and may be elsewhere: then nothing is said of this machine's own.
        bf16: whether they compute in bfloat16.
        host_memory: bytes that are available, within the limits of its cgroups.
        disk: bytes that are free below the folder of runs, and how many a second are written there.
        versions: of the libraries that are installed.
        pinned: those that the project pins.
        compiler: a C compiler, and Python.h beside it; None where either is missing.
    """

    gpus: int
    gpu_memory: float
    named: bool
    bf16: bool
    host_memory: float
    disk: float
    write_rate: float
    versions: Mapping[str, str]
    pinned: Mapping[str, str]
    compiler: str | None

    @classmethod
    def find(cls, runs: Path, gpus: int | None = None, gpu_memory: float | None = None) -> Machine:
        """This machine, with GPUs as they are named, else as torch sees them."""
        seen = torch.cuda.device_count()
        smallest = min((torch.cuda.get_device_properties(n).total_memory for n in range(seen)), default=0)
        disk, rate = _disk(runs)
        return cls(
            gpus=seen if gpus is None else gpus,
            gpu_memory=float(smallest) if gpu_memory is None else gpu_memory,
            named=gpu_memory is not None,
            bf16=not seen or torch.cuda.is_bf16_supported(),
            host_memory=available_memory(),
            disk=disk,
            write_rate=rate,
            versions={name: _version(name) for name in LIBRARIES},
            pinned=_pinned(),
            compiler=_compiler(),
        )


def _version(library: str) -> str:
    try:
        return version(library).partition("+")[0]
    except PackageNotFoundError:
        return "not installed"


def _pinned() -> dict[str, str]:
    """The specifiers of the libraries that move numbers, from the project's own metadata."""
    try:
        requirements = [Requirement(line) for line in requires("gemvg-repro") or ()]
    except PackageNotFoundError:
        return {}
    return {each.name: str(each.specifier) for each in requirements if each.name in LIBRARIES and not each.marker}


def _compiler() -> str | None:
    """What Triton compiles its launchers with."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return compiler if compiler and shutil.which(compiler) and header.is_file() else None


def _disk(folder: Path) -> tuple[float, float]:
    """Free bytes, and bytes a second of a trial file, below the nearest folder that exists."""
    existing = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
    file = existing / f".preflight-{os.getpid()}"
    content = os.urandom(2**20)
    started = time.monotonic()
    try:
        with file.open("wb") as out:
            for _ in range(_TRIAL_BYTES // len(content)):
                out.write(content)
            out.flush()
            os.fsync(out.fileno())
    except OSError:
        return 0.0, 0.0
    finally:
        file.unlink(missing_ok=True)
    return float(shutil.disk_usage(existing).free), _TRIAL_BYTES / (time.monotonic() - started)
