"""Does a run see the GPUs that it requested?"""

from __future__ import annotations

import os
import platform
import subprocess
import sys

from ..study.resources import Needs

_COUNT = "import torch; print(torch.cuda.device_count(), torch.__version__)"


class GpusMissing(RuntimeError):
    """A run requested GPUs and sees fewer: it would compute on the CPU for weeks, and be called finished."""


def check_gpus(needs: Needs | None) -> None:
    """Has PyTorch count the GPUs, in a process of its own, where some were requested.

    Raises:
        GpusMissing: there are fewer, and `cpu_fallback` does not allow it.
    """
    if needs is None or not needs.gpus or needs.cpu_fallback:
        return
    done = subprocess.run([sys.executable, "-c", _COUNT], capture_output=True, text=True)
    count, version = done.stdout.split() if done.returncode == 0 else ("0", done.stderr.strip().splitlines()[-1])
    if int(count) < needs.gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        raise GpusMissing(
            f"{needs.gpus} GPUs were requested, and PyTorch {version} sees {count} on {platform.node()}"
            f" (CUDA_VISIBLE_DEVICES: {visible}). Load CUDA under `setup`, install a build of PyTorch for it, or set"
            " `cpu_fallback: true` under `resources` to compute with what there is; then --retry"
        )
