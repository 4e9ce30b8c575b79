"""How fast is MG-Data-240K composed, and in how much memory?

    python -m tools.composition_speed FOLDER [TIMES]

Makes official files of the real sources' size (TIMES as many COCO images and Ego-Exo4D takes), reads and composes
them with the paper's recipe by 2, 1 and 3 workers, and prints rates and peak memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gemvg_repro.corpora import builder, recipe
from gemvg_repro.corpora.sources import index_source
from tests.corpora import made_sources


def measured(what: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """Runs `work`, prints its wall, user and system seconds and the peak memory of any process so far, and returns
    what it gives with the wall seconds."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    spent = [np.sum([resource.getrusage(k)[:2] for k in kinds], axis=0)]
    started = time.monotonic()
    result = work()
    wall = time.monotonic() - started
    user, system = np.sum([resource.getrusage(k)[:2] for k in kinds], axis=0) - spent[0]
    peaks = " / ".join(f"{resource.getrusage(k).ru_maxrss / 1024:.0f}" for k in kinds)
    print(
        f"{what:24} {wall:7.1f} s wall {user:7.1f} s user {system:6.1f} s system   peak MB, this process / largest "
        f"child: {peaks}", flush=True,
    )  # fmt: skip
    return result, wall


def make(folder: Path, times: int) -> dict[str, Path]:
    """The roots; only what is read as JSON grows with `times`."""
    makers: dict[str, Callable[[Path], object]] = {
        f"coco-{times}": lambda root: made_sources.coco(root, 118_287 * times),
        "d3-1": lambda root: made_sources.d3(root, 106, 100),
        f"egoexo4d-{times}": lambda root: made_sources.egoexo(root, 400 * times, 30),
        "mvtrack-1": lambda root: made_sources.mvtrack(root, 90, 800),
        "star-1": lambda root: made_sources.star(root, 6000),
    }
    for name, maker in makers.items():
        if not (folder / name).exists():
            maker(folder / name)
    return {name.partition("-")[0]: folder / name for name in makers}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.composition_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="takes the official files, some GB; those that are there are used")
    parser.add_argument("times", type=int, nargs="?", default=1, help="as many COCO images and takes (default: 1)")
    options = parser.parse_args()
    folder, times = options.folder, options.times
    folder.mkdir(parents=True, exist_ok=True)
    roots, _ = measured("make official files", partial(make, folder, times))
    indexes = {}
    for name, root in roots.items():
        look = name in ("mvtrack", "star")
        file = folder / f"{name}-{times}.sqlite"
        index, _ = measured(f"index {name}", partial(index_source, name, root, file, look))
        print(f"{'':24} {len(index.numbers())} frames, {index.questions()} questions, skipped {index.skips().counts}")
        indexes[name] = index.file
    plan = recipe.load()
    for workers in (2, 1, 3) if times == 1 else (2,):
        out = folder / f"data-{times}-{workers}"
        build = partial(builder.build, plan, indexes, out, workers=workers)
        made, wall = measured(f"compose, {workers} workers", build)
        print(f"{'':24} {made['rows']} samples, {made['rows'] / wall:.0f}/s, content {made['content']}")
    for name, cell in made["cells"].items():
        print(f"{name:24} quota {cell['quota']:6} made {cell['made']:6} {cell['not_made']}")


if __name__ == "__main__":
    main()
