"""Which frames occur in a benchmark? Found by file name, by the id of their source, and by a perceptual hash.

A file name counts if it has at least eight characters: "1.jpg" and "00001.jpg" name a picture in every other folder.
An id is COCO's 12-digit number, whatever stands around it (RefCOCO, MC-Bench and COCO itself write it differently), or
a Flickr number in a URL. The hash is the 64-bit pHash of imagehash; it finds scaled and re-encoded copies. A picture
that is all of one colour has no hash, since it would resemble too many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import pickles
from ..files.pictures import FilePicture
from ..files.validation import Refused, read_json
from .index import Index
from .index_builder import exclude
from .readers import fields
from .readers.videos import VideoPicture

_LEAST_NAME = 8
_GLANCE = 128 * 128
_FLAT = 4.0  # standard deviation of grey levels

NEAR = 4
"""Bits of 64 by which the hashes of two copies may differ."""


def marks_of(path: str) -> set[str]:
    """What a file's path or URL says about which picture it is: "name:...", "coco:..." and "flickr:..."."""
    stem = path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0].lower()
    ids = {f"coco:{int(digits)}" for digits in re.findall(r"(?<!\d)(\d{12})(?!\d)", stem)}
    if "flickr" in path and (flickr := fields.flickr(path)):
        ids.add(flickr)
    return ids | ({f"name:{stem}"} if len(stem) >= _LEAST_NAME else set())


def benchmark_paths(file: Path) -> list[str]:
    """The image paths that a benchmark's annotation names, and Flickr's URLs of them.

    COCO-like JSON (MC-Bench, ODINW, RefCOCO's instances.json): `images[].file_name` and, where there is one,
    `images[].flickr_url`, by which a picture is known whatever its file is called. A JSON list (MIG-Bench):
    `[].images[]`. RefCOCO's refs(...).p: `[].file_name` of all refs but those for training. Raises Refused.
    """
    content = pickles.load(file) if file.suffix == ".p" else read_json(file)
    urls: list[object] = []
    if isinstance(content, dict):
        records = [r for r in _listed(content.get("images")) if isinstance(r, dict)]
        names, urls = [r.get("file_name") for r in records], [r.get("flickr_url") for r in records]
    elif isinstance(content, list):
        records = [r for r in content if isinstance(r, dict) and r.get("split") != "train"]
        names = [n for r in records for n in (*_listed(r.get("images")), r.get("file_name"))]
    else:
        names = []
    found = [name for name in names if isinstance(name, str)]
    if not found:
        raise Refused(f"{file} names no images; expected `images[].file_name`, or a list with `images` or `file_name`")
    return found + [url for url in urls if isinstance(url, str) and url]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def named(index: Index, benchmarks: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Ids of frames that share a mark with a path of a benchmark, by the benchmark's name."""
    marks = {name: {m for path in paths for m in marks_of(path)} for name, paths in benchmarks.items()}
    found: dict[str, list[str]] = {name: [] for name in benchmarks}
    for n in index.numbers().tolist():
        frame = index.frame(n)
        own = marks_of(frame.path) | set(frame.aliases)
        for name, known in marks.items():
            if own & known:
                found[name].append(frame.id)
    return found


def picture_hash(read: Callable[[], NDArray[np.uint8]]) -> int | None:
    """The 64-bit pHash of a picture's pixels; None if it has no structure or cannot be read."""
    try:
        image = Image.fromarray(read()).convert("L")
    except Refused:
        return None
    if float(np.asarray(image).std()) < _FLAT:
        return None
    return int(str(imagehash.phash(image)), 16)


Place = tuple[str, int | None]
"""Path of an image, and None; or of a video, and the number of its frame."""


def _hash_place(root: Path, place: Place) -> int | None:
    path, member = place
    picture = FilePicture(root, path, _GLANCE) if member is None else VideoPicture(root, path, member, _GLANCE)
    return picture_hash(picture.pixels)


@dataclass(frozen=True, slots=True)
class Hashes:
    """Names of pictures and their hashes, of shape (N,) and type uint64; and how many had none."""

    names: tuple[Place, ...]
    values: NDArray[np.uint64]
    without: int


def hash_pictures(
    root: Path, places: Sequence[Place], workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> Hashes:
    """Hashes pictures below a root: a pass over their pixels, decoded small, in so many processes."""
    task = partial(_hash_place, root)
    found: list[int | None] = []
    with ExitStack() as stack:
        hashed: Iterable[int | None] = map(task, places)
        if workers > 1:
            pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
            hashed = pool.map(task, places, chunksize=64)
        for n, value in enumerate(hashed, 1):
            found.append(value)
            if progress and (n % 256 == 0 or n == len(places)):
                progress(n, len(places))
    kept = [(place, value) for place, value in zip(places, found, strict=True) if value is not None]
    values = np.array([value for _, value in kept], dtype=np.uint64)
    return Hashes(tuple(place for place, _ in kept), values, len(places) - len(kept))


def alike(own: Hashes, benchmark: Hashes, most_bits: int = NEAR) -> list[tuple[Place, Place, int]]:
    """(own name, benchmark's name, bits that differ) of every own picture that is near one of the benchmark's."""
    found = []
    for start in range(0, len(own.values), 1024):
        block = own.values[start : start + 1024]
        if not benchmark.values.size:
            break
        bits = np.bitwise_count(block[:, None] ^ benchmark.values[None, :])
        nearest = bits.argmin(axis=1)
        for n in np.flatnonzero(bits.min(axis=1) <= most_bits).tolist():
            other = int(nearest[n])
            found.append((own.names[start + n], benchmark.names[other], int(bits[n, other])))
    return found


def remove(
    index: Index, root: Path | None, benchmarks: Mapping[str, tuple[Path, Path | None]], workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Index, dict[str, int]]:  # fmt: skip
    """Takes every frame that occurs in a benchmark out of an index; returns it anew, and how many went, by reason.

    `benchmarks` has, by name, the annotation file and the folder of its images (None: no pass over pixels). `root` is
    the folder of the source's own pictures (None: likewise). Of a video the whole scene goes.
    """
    paths = {name: benchmark_paths(file) for name, (file, _) in benchmarks.items()}
    gone = {}
    for name, ids in named(index, paths).items():
        gone[f"in {name}, by name"] = exclude(index.file, ids, f"in {name}, by name")
    index = Index(index.file)
    folders = {name: folder for name, (_, folder) in benchmarks.items() if folder is not None}
    if root is None or not folders:
        return index, gone
    at: dict[Place, list[str]] = {}
    for n in index.numbers().tolist():
        frame = index.frame(n)
        at.setdefault((frame.path, frame.member), []).append(frame.id)
    own = hash_pictures(root, list(at), workers, progress)
    for name, folder in folders.items():
        theirs = hash_pictures(
            folder, [(path, None) for path in sorted(set(paths[name])) if "://" not in path], workers
        )
        ids = [id_ for place, _, _ in alike(own, theirs) for id_ in at[place]]
        gone[f"in {name}, by picture"] = exclude(index.file, ids, f"in {name}, by picture")
    return Index(index.file), gone
