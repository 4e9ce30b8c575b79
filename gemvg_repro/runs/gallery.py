"""Which predictions does the report show one by one, and how are they stored in an evaluation's run directory?

`gallery/gallery.json` has one record a prediction, and the images lie beside it, each once:

    [{"sample": "test-000000-0", "kind": "semantic", "mode": "direct", "query": "...", "text": "...",
      "pictures": ["3f0c....png", ...], "truth": [[0, 0.1, 0.2, 0.3, 0.4], ...],
      "predicted": [[1, 0.5, 0.5, 0.9, 0.9]], "reward": {"format": 1.0, ...}, "errors": ["wrong picture"]}]

`truth` and `predicted` hold one row per box: the 0-based index of its image, then its xyxy corners
normalised to [0, 1]. `text` is the model's response, unchanged: nothing in it is trusted. `reward` has each term of
GRPO's reward before its weight, `errors` each way in which the answer is wrong (`grounding.errors`).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files.atomic import write_bytes
from ..grounding.errors import errors_of
from ..grounding.parsing import parse_answer
from ..grounding.rewards import TERMS
from ..grounding.samples import GROUNDING_KINDS, Mode, Picture, Sample, Target

Row = tuple[int, float, float, float, float]

Pixels = NDArray[np.uint8]

OF_A_KIND = 40
"""Samples of each kind: two hundred in all, each in both modes."""

LONGEST_SIDE = 320
"""Pixels of the longer side of an image, at most: two hundred samples of photographs have to fit into one page."""

_LOSSLESS_PIXELS = 128 * 128
"""Images of up to so many pixels are kept to the pixel, as PNG; larger ones as JPEG."""

FILE = "gallery.json"


@dataclass(frozen=True)
class Entry:
    """One prediction of the gallery; see the module's docstring. Galleries of earlier versions lack the last two."""

    sample: str
    kind: str
    mode: str
    query: str
    text: str
    pictures: tuple[str, ...]
    truth: tuple[Row, ...]
    predicted: tuple[Row, ...]
    reward: dict[str, float] = field(default_factory=dict)
    errors: tuple[str, ...] = ()


def choose(samples: Iterable[Sample]) -> list[Sample]:
    """The samples to draw: of each kind of grounding the first so many in the order of a hash of their ids.

    So they are drawn from the whole test set, are the same for every variant, and hang on no response.
    """
    pool = sorted(samples, key=lambda sample: hashlib.sha256(f"gallery/{sample.id}".encode()).digest())
    return [s for kind in GROUNDING_KINDS for s in [each for each in pool if each.kind == kind][:OF_A_KIND]]


def write(folder: Path, answers: Sequence[tuple[Sample, Mode, str]]) -> Path:
    """Writes the images and gallery.json into `folder`, made if need be.

    Args:
        folder: `gallery` in the evaluation's run directory.
        answers: samples, each with a mode and the model's response, special tokens included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = [_entry(folder, *answer) for answer in answers]
    write_bytes(folder / FILE, json.dumps([asdict(entry) for entry in entries], indent=1).encode())
    return folder / FILE


def _entry(folder: Path, sample: Sample, mode: Mode, text: str) -> Entry:
    parsed = parse_answer(text, len(sample.pictures))
    return Entry(
        sample=sample.id, kind=sample.kind, mode=mode, query=sample.query, text=text,
        pictures=tuple(_store(folder, picture) for picture in sample.pictures),
        truth=_rows(sample.targets), predicted=_rows(parsed.targets),
        reward={name: round(term(sample, parsed, mode), 4) for name, term in TERMS.items()},
        errors=errors_of(sample, text),
    )  # fmt: skip


def _rows(targets: Sequence[Target]) -> tuple[Row, ...]:
    return tuple((target.picture, *target.box) for target in targets)


def _store(folder: Path, picture: Picture) -> str:
    """Writes an image under a name that says its content, and returns the name."""
    image = Image.fromarray(np.asarray(picture.pixels()))
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    form = "PNG" if image.width * image.height <= _LOSSLESS_PIXELS else "JPEG"
    content = io.BytesIO()
    image.save(content, form, **({} if form == "PNG" else {"quality": 80}))
    name = f"{hashlib.sha256(content.getvalue()).hexdigest()[:20]}.{form.lower()}"
    if not (folder / name).exists():
        write_bytes(folder / name, content.getvalue())
    return name


def read(folder: Path) -> list[Entry]:
    """The entries, in order; none where the folder has no gallery.json."""
    path = folder / FILE
    if not path.is_file():
        return []
    entries = []
    for record in json.loads(path.read_text("utf-8")):
        boxes = {key: tuple((int(p), *map(float, box)) for p, *box in record[key]) for key in ("truth", "predicted")}
        lists = {key: tuple(record[key]) for key in ("pictures", "errors") if key in record}
        entries.append(Entry(**{**record, **boxes, **lists}))
    return entries


def image_file(folder: Path, name: str) -> Path:
    """The file of one image of the gallery.

    Raises:
        ValueError: the name leads out of the folder.
    """
    if Path(name).name != name:
        raise ValueError(f"picture {name!r} of {folder / FILE} is no plain file name; evaluate the run again")
    return folder / name


def pixels(folder: Path, name: str) -> Pixels:
    """RGB of one image of the gallery, (height, width, 3). Raises ValueError as `image_file` does."""
    with Image.open(image_file(folder, name)) as image:
        return np.asarray(image.convert("RGB"))
