"""Which predictions does the report show, and how are they stored in an evaluation's run directory?

It holds `gallery/gallery.json` and the images beside it as PNG files:

    [{"sample": "test-000000-0", "kind": "semantic", "mode": "direct", "query": "...", "text": "...",
      "pictures": ["test-000000-0-1.png", ...],
      "truth": [[0, 0.1, 0.2, 0.3, 0.4], ...], "predicted": [[1, 0.5, 0.5, 0.9, 0.9]]}]

`truth` and `predicted` hold one row per box: the 0-based index of its image, then its xyxy corners
normalised to [0, 1]. `text` is the model's response, unchanged: nothing in it is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files.atomic import write_bytes, writing
from ..grounding.samples import GROUNDING_KINDS, MODES, Mode, Sample, Target

Row = tuple[int, float, float, float, float]

Pixels = NDArray[np.uint8]

Answer = tuple[str, Sequence[Target]]
"""A response, and the targets parsed from it."""

SIZE = 12

FILE = "gallery.json"


@dataclass(frozen=True)
class Entry:
    """One prediction of the gallery; see the module's docstring."""

    sample: str
    kind: str
    mode: str
    query: str
    text: str
    pictures: tuple[str, ...]
    truth: tuple[Row, ...]
    predicted: tuple[Row, ...]


def choose(samples: Iterable[Sample]) -> list[tuple[Sample, Mode]]:
    """The twelve samples to draw, each with its mode: fixed by the test set, independent of the responses.

    Of each kind the first two, one per mode; then the first sample without any target and the first other one
    with several.
    """
    pool = [sample for sample in samples if sample.kind in GROUNDING_KINDS]
    selection: list[tuple[Sample, Mode]] = []
    for kind in GROUNDING_KINDS:
        selection += zip([sample for sample in pool if sample.kind == kind][:2], MODES, strict=False)
    taken = {sample.id for sample, _ in selection}
    rest = [sample for sample in pool if sample.id not in taken]
    selection += zip([sample for sample in rest if not sample.targets][:1], ("direct",), strict=False)
    selection += zip([sample for sample in rest if len(sample.targets) > 1][:1], ("cot",), strict=False)
    return selection[:SIZE]


def write(folder: Path, selection: Sequence[tuple[Sample, Mode]], answers: Mapping[tuple[str, str], Answer]) -> Path:
    """Writes the images and gallery.json into `folder`; samples without a response are left out.

    Args:
        folder: `gallery` in the evaluation's run directory; made if need be.
        selection: from `choose`.
        answers: by (sample id, mode): the model's response, and the targets parsed from it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, (sample, mode) in enumerate(selection):
        if (sample.id, mode) not in answers:
            continue
        text, predicted = answers[sample.id, mode]
        names = tuple(f"{number:02d}-{k}.png" for k in range(1, len(sample.pictures) + 1))
        for name, picture in zip(names, sample.pictures, strict=True):
            with writing(folder / name):
                Image.fromarray(np.asarray(picture.pixels())).save(folder / name)
        rows = (tuple((t.picture, *t.box) for t in targets) for targets in (sample.targets, predicted))
        entries.append(Entry(sample.id, sample.kind, mode, sample.query, text, names, *rows))
    write_bytes(folder / FILE, json.dumps([asdict(entry) for entry in entries], indent=1).encode())
    return folder / FILE


def read(folder: Path) -> list[Entry]:
    """The entries, in order; none where the folder has no gallery.json."""
    path = folder / FILE
    if not path.is_file():
        return []
    entries = []
    for record in json.loads(path.read_text("utf-8")):
        boxes = {key: tuple((int(p), *map(float, box)) for p, *box in record[key]) for key in ("truth", "predicted")}
        entries.append(Entry(**{**record, **boxes, "pictures": tuple(record["pictures"])}))
    return entries


def pixels(folder: Path, name: str) -> Pixels:
    """RGB of one image of the gallery, (height, width, 3).

    Raises:
        ValueError: the name leads out of the folder.
    """
    if Path(name).name != name:
        raise ValueError(f"picture {name!r} of {folder / FILE} is no plain file name; evaluate the run again")
    with Image.open(folder / name) as image:
        return np.asarray(image.convert("RGB"))
