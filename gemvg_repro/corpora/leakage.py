"""Which frames occur in a benchmark? Matched by file name, by the source's image id, and by perceptual hash.

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

MAX_DIFFERENT_BITS = 4
"""Bits of 64 by which the hashes of two copies may differ."""


def identifiers(path: str) -> set[str]:
    """The identifiers of an image in its path or URL: "name:...", "coco:..." and "flickr:..."."""
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
    paths = [name for name in names if isinstance(name, str)]
    if not paths:
        raise Refused(f"{file} names no images; expected `images[].file_name`, or a list with `images` or `file_name`")
    return paths + [url for url in urls if isinstance(url, str) and url]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def matches_by_name(index: Index, benchmarks: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Ids of frames that share an identifier with a path of a benchmark, by the benchmark's name."""
    marks = {name: {m for path in paths for m in identifiers(path)} for name, paths in benchmarks.items()}
    ids: dict[str, list[str]] = {name: [] for name in benchmarks}
    for n in index.numbers().tolist():
        frame = index.frame(n)
        own = identifiers(frame.path) | set(frame.aliases)
        for name, benchmark_marks in marks.items():
            if own & benchmark_marks:
                ids[name].append(frame.id)
    return ids


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
    """Hashes images below a root: a pass over their pixels, decoded small, in `workers` processes."""
    task = partial(_hash_place, root)
    values_or_none: list[int | None] = []
    with ExitStack() as stack:
        hashed: Iterable[int | None] = map(task, places)
        if workers > 1:
            pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
            hashed = pool.map(task, places, chunksize=64)
        for n, value in enumerate(hashed, 1):
            values_or_none.append(value)
            if progress and (n % 256 == 0 or n == len(places)):
                progress(n, len(places))
    hashed_places = [(place, value) for place, value in zip(places, values_or_none, strict=True) if value is not None]
    values = np.array([value for _, value in hashed_places], dtype=np.uint64)
    return Hashes(tuple(place for place, _ in hashed_places), values, len(places) - len(hashed_places))


def near_duplicates(
    own: Hashes, benchmark: Hashes, most_bits: int = MAX_DIFFERENT_BITS
) -> list[tuple[Place, Place, int]]:
    """(own place, nearest place of the benchmark, differing bits) of every own image that duplicates one of it."""
    pairs = []
    for start in range(0, len(own.values), 1024):
        block = own.values[start : start + 1024]
        if not benchmark.values.size:
            break
        bits = np.bitwise_count(block[:, None] ^ benchmark.values[None, :])
        nearest = bits.argmin(axis=1)
        for n in np.flatnonzero(bits.min(axis=1) <= most_bits).tolist():
            other = int(nearest[n])
            pairs.append((own.names[start + n], benchmark.names[other], int(bits[n, other])))
    return pairs


def remove(
    index: Index, root: Path | None, benchmarks: Mapping[str, tuple[Path, Path | None]], workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Index, dict[str, int]]:  # fmt: skip
    """Excludes every frame that occurs in a benchmark; returns the index anew and the number excluded by reason.

    `benchmarks` has, by name, the annotation file and the folder of its images (None: no pass over pixels). `root` is
    the folder of the source's own pictures (None: likewise). Of a video the whole scene goes.
    """
    paths = {name: benchmark_paths(file) for name, (file, _) in benchmarks.items()}
    removed = {}
    for name, ids in matches_by_name(index, paths).items():
        removed[f"in {name}, by name"] = exclude(index.file, ids, f"in {name}, by name")
    index = Index(index.file)
    folders = {name: folder for name, (_, folder) in benchmarks.items() if folder is not None}
    if root is None or not folders:
        return index, removed
    frames_at: dict[Place, list[str]] = {}
    for n in index.numbers().tolist():
        frame = index.frame(n)
        frames_at.setdefault((frame.path, frame.member), []).append(frame.id)
    own_hashes = hash_pictures(root, list(frames_at), workers, progress)
    for name, folder in folders.items():
        benchmark_hashes = hash_pictures(
            folder, [(path, None) for path in sorted(set(paths[name])) if "://" not in path], workers
        )
        ids = [id_ for place, _, _ in near_duplicates(own_hashes, benchmark_hashes) for id_ in frames_at[place]]
        removed[f"in {name}, by picture"] = exclude(index.file, ids, f"in {name}, by picture")
    return Index(index.file), removed
