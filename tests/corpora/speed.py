"""How fast is MG-Data-240K composed, and in how much memory? `python -m tests.corpora.speed FOLDER [TIMES]`

Makes official files of the real sources' size (TIMES as many COCO images and Ego-Exo4D takes), reads and composes
them with the paper's recipe by two workers, and prints rates and peak memory of the largest process.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gemvg_repro.corpora import building, recipe
from gemvg_repro.corpora.official import indexed

from . import official


def measured(what: str, work: Callable[[], Any]) -> Any:
    """Runs `work` and prints its wall and CPU seconds, and the peak memory of any process so far."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    wall, cpu = time.monotonic(), sum(sum(resource.getrusage(k)[:2]) for k in kinds)
    result = work()
    wall, cpu = time.monotonic() - wall, sum(sum(resource.getrusage(k)[:2]) for k in kinds) - cpu
    peaks = " / ".join(f"{resource.getrusage(k).ru_maxrss / 1024:.0f}" for k in kinds)
    print(f"{what:28} {wall:8.1f} s wall {cpu:8.1f} s CPU   peak MB, this process / largest child: {peaks}", flush=True)
    return result


def make(root: Path, times: int) -> dict[str, Path]:
    roots = {name: root / name for name in ("coco", "d3", "egoexo4d", "mvtrack", "star")}
    if not root.exists():
        official.coco(roots["coco"], 118_287 * times)
        official.d3(roots["d3"], 106, 100)
        official.egoexo(roots["egoexo4d"], 400 * times, 30)
        official.mvtrack(roots["mvtrack"], 90, 800)
        official.star(roots["star"], 6000)
    return roots


def main() -> None:
    folder, times = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    folder.mkdir(parents=True, exist_ok=True)
    roots = make(folder / f"official-{times}", times)
    indexes = {}
    for name, root in roots.items():
        look = name in ("mvtrack", "star")
        file = folder / f"{name}-{times}.sqlite"
        index = measured(f"index {name}", partial(indexed, name, root, file, look))
        print(f"{'':28} {len(index.numbers())} frames, {index.questions()} questions, skipped {index.skips().counts}")
        indexes[name] = index.file
    wanted = recipe.load()
    for workers in (2, 1) if times == 1 else (2,):
        out = folder / f"data-{times}-{workers}"
        made = measured(f"compose, {workers} workers", partial(building.build, wanted, indexes, out, workers=workers))
        print(f"{'':28} {made['rows']} samples, content {made['content'][:16]}")
    for name, cell in made["cells"].items():
        print(f"{name:28} quota {cell['quota']:6} made {cell['made']:6} {cell['not_made']}")


if __name__ == "__main__":
    main()
