"""What is a study trained and scored on? The data run: the world's samples, or a file that was given."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..benchmarks import mig_bench
from ..corpora import coco
from ..corpora.composers import detection, semantic
from ..corpora.refusal import Faults, Refused
from ..corpora.writing import writing
from ..grounding.samples import Sample
from ..miniature import dataset, mig_export
from .identity import identify, locate
from .parameters import DataParameters, ParameterError, Parameters, resolve
from .profiles import load_profile
from .runs import Announcer, Run, result_of

WORLD_FILE = "samples.parquet"
MIG_FOLDER = "mig_bench"


def make(asked: DataParameters) -> Mapping[str, Any]:
    """Draws the world's samples, or reads and checks the given file, and returns the data run's result."""
    profile = load_profile(asked.profile)
    identity = identify(asked, profile)
    started = time.monotonic()
    facts = check(asked)
    with Run.open(asked.runs_folder, identity.name, identity.parameters) as run:
        if run.finished is not None:
            return run.finished
        if profile.data.recipe is not None and not asked.data:
            facts = {"source": "world", **_draw(run.folder, profile.data.recipe)}
        return run.finish({**facts, "cost": {"seconds": round(time.monotonic() - started, 1)}})


def check(asked: Parameters) -> dict[str, Any]:
    """What the data run of a given file will say; nothing once it is finished, and for the profile's own data.

    Reads the whole file and decodes every image, and writes nothing: called before any work begins.

    Raises:
        Refused: with the record and key of every fault.
        ParameterError: there is no file, and the profile has no data of its own.
    """
    data: str = getattr(asked, "data", "")
    settings = load_profile(asked.profile).data
    if data:
        known = DataParameters.check({k: v for k, v in dict(asked).items() if k in ("profile", "runs", "data")})
        if result_of(locate(known)) is not None:
            return {}
        read = coco.load(resolve(data), settings.most_pixels)
        return {"source": data, "counts": {"images": len(read.images)}, "left_out": list(map(str, read.left_out))}
    if settings.recipe is None:
        raise ParameterError(
            f"profile {asked.profile} has no data of its own; give a COCO-format file: -p data FILE.json"
        )
    return {}


def check_pictures(file: Path, samples: Sequence[Sample]) -> None:
    """Decodes every picture of the samples of a file once: one that is missing or broken is found before work begins.

    Raises:
        Refused: with the sample of every picture that cannot be read.
    """
    faults = Faults(file)
    announce = Announcer("pictures")
    started = time.monotonic()
    for done, sample in enumerate(samples, 1):
        for number, picture in enumerate(sample.pictures, 1):
            try:
                picture.pixels()
            except Refused as error:
                faults.add(f"{sample.id}, picture {number}", str(error))
        announce(done, len(samples), (time.monotonic() - started) / done * (len(samples) - done), {})
    faults.refuse()


def _draw(folder: Path, recipe: dataset.Recipe) -> dict[str, Any]:
    with writing(folder / WORLD_FILE):
        digest = dataset.write(folder / WORLD_FILE, recipe)
    with writing(folder / MIG_FOLDER):
        mig_export.write(folder / MIG_FOLDER, recipe.seed)
    splits = {split: dataset.read(folder / WORLD_FILE, split) for split in ("train", "validation", "test")}
    return {"content": digest, "counts": {split: _counts(samples) for split, samples in splits.items()}}


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


def load_mig_bench(folder: Path) -> list[mig_bench.MigRecord]:
    """The records of the data run's test set in MIG-Bench's format; none where it has none."""
    file = folder / MIG_FOLDER / mig_export.FILE
    return mig_bench.load(file) if file.is_file() else []
