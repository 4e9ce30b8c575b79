"""What is a study trained and scored on? The data run: the world's samples, or a file that was given."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..corpora import coco
from ..corpora.composers import detection, semantic
from ..grounding.samples import Sample
from ..miniature import dataset, exports
from .identity import identify
from .parameters import DataParameters, Parameters, resolve
from .profiles import DataSettings, load_profile
from .runs import Run

WORLD_FILE = "samples.parquet"
BENCHMARKS = "benchmarks"


def make(asked: DataParameters) -> Mapping[str, Any]:
    """Draws the world's samples, or reads and checks the given file, and returns the data run's result."""
    profile = load_profile(asked.profile)
    identity = identify(asked, profile)
    with Run.open(asked.runs_folder, identity.name, identity.parameters) as run:
        if run.finished is not None:
            return run.finished
        started = time.monotonic()
        if asked.data:
            content = {"source": asked.data, **_facts_of_file(asked, profile.data)}
        elif profile.data.recipe is not None:
            content = {"source": "world", **_draw(run.folder, profile.data.recipe, profile.data.benchmarks)}
        else:
            raise ValueError(
                f"profile {asked.profile} has no data of its own; give a COCO-format file: -p data FILE.json"
            )
        return run.finish({**content, "cost": {"seconds": round(time.monotonic() - started, 1)}})


def _draw(folder: Path, recipe: dataset.Recipe, benchmarks: Mapping[str, int]) -> dict[str, Any]:
    digest = dataset.write(folder / WORLD_FILE, recipe)
    exports.write(folder / BENCHMARKS, recipe.seed, benchmarks)
    splits = {split: dataset.read(folder / WORLD_FILE, split) for split in ("train", "validation", "test")}
    return {"content": digest, "counts": {split: _counts(samples) for split, samples in splits.items()}}


def _facts_of_file(asked: DataParameters, settings: DataSettings) -> dict[str, Any]:
    read = coco.load(resolve(asked.data), settings.most_pixels)
    return {"counts": {"images": len(read.images)}, "left_out": list(map(str, read.left_out))}


def _counts(samples: Sequence[Sample]) -> dict[str, Any]:
    grounding = [s for s in samples if s.choice is None]
    return {
        "samples": len(samples),
        "scenes": len({s.scene for s in samples}),
        "kinds": dict(Counter(s.kind for s in samples)),
        "targets": {str(n): count for n, count in sorted(Counter(len(s.targets) for s in grounding).items())},
    }


def load(folder: Path, asked: Parameters, split: dataset.Split) -> list[Sample]:
    """The samples of a split of a finished data run, in order.

    A given file is trained on as composed from it, and is validated and scored on as it is: every category
    of every image, one image at a time.
    """
    data: str = getattr(asked, "data", "")
    if not data:
        return dataset.read(folder / WORLD_FILE, split)
    settings = load_profile(asked.profile).data
    read = coco.load(resolve(data), settings.most_pixels)
    samples = detection(read)
    return samples + semantic(read, settings.seed, settings.composed) if split == "train" else samples


def exported(folder: Path) -> dict[str, Path]:
    """The benchmarks in official formats that a data run holds: the root of each by its name."""
    return {name: root for name in exports.WRITERS if (root := folder / BENCHMARKS / name).is_dir()}
