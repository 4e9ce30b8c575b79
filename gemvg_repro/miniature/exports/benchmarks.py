"""How are benchmarks of the miniature world written in their official formats?

The scenes are drawn from seeds of their own, so that none is in a split that is trained or chosen on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from ...benchmarks import prompts
from . import mc_bench, mig_bench, muirbench, odinw13

WRITERS: dict[str, Callable[[Path, int, int], Path]] = {
    "mig_bench": mig_bench.write,
    "mc_bench": mc_bench.write,
    "odinw13": odinw13.write,
    "muirbench": muirbench.write,
}
"""Many images, pairs, single images in several domains, general understanding: as in the paper's evaluation."""


def write(folder: Path, seed: int, sizes: Mapping[str, int]) -> None:
    """Writes each benchmark of `sizes` into a folder of its name, with asking.yaml, the miniature's prompts.

    Args:
        sizes: records of every task (mig_bench, muirbench), pairs of every text style (mc_bench), pictures of every
            domain (odinw13).
    """
    for name, each in sizes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        WRITERS[name](folder / name, seed, each)
        shutil.copy(Path(__file__).with_name(prompts.FILE), folder / name / prompts.FILE)
