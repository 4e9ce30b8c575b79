"""Which images are copies of each other? Compared by perceptual hash, the 64-bit pHash of imagehash.

It finds scaled and re-encoded copies. An image that is all of one colour has no hash, since it would resemble too many.
"""

from __future__ import annotations

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

from ..files.pictures import FilePicture
from ..files.validation import Refused
from .readers.videos import VideoPicture

_GLANCE = 128 * 128
_FLAT = 4.0  # standard deviation of grey levels

MAX_DIFFERENT_BITS = 4
"""Bits of 64 by which the hashes of two copies may differ."""


def picture_hash(read: Callable[[], NDArray[np.uint8]]) -> int | None:
    """The 64-bit pHash of a picture's pixels; None if it has no structure. Raises Refused like `read`."""
    image = Image.fromarray(read()).convert("L")
    if float(np.asarray(image).std()) < _FLAT:
        return None
    return int(str(imagehash.phash(image)), 16)


Place = tuple[str, int | None]
"""Path of an image, and None; or of a video, and the number of its frame."""

UNREADABLE, ONE_COLOUR = "cannot be read", "is all of one colour"
"""Why a picture has no hash."""


def _hash_place(root: Path, place: Place) -> int | str:
    path, member = place
    picture = FilePicture(root, path, _GLANCE) if member is None else VideoPicture(root, path, member, _GLANCE)
    try:
        value = picture_hash(picture.pixels)
    except Refused:
        return UNREADABLE
    return ONE_COLOUR if value is None else value


@dataclass(frozen=True, slots=True)
class Hashes:
    """Places of images and their hashes, of shape (N,) and type uint64; and the images without one, by the reason."""

    names: tuple[Place, ...]
    values: NDArray[np.uint64]
    without: Mapping[str, Sequence[Place]]


def hash_pictures(
    root: Path, places: Sequence[Place], workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> Hashes:
    """Hashes images below a root: a pass over their pixels, decoded small, in `workers` processes."""
    task = partial(_hash_place, root)
    results: list[int | str] = []
    with ExitStack() as stack:
        hashed: Iterable[int | str] = map(task, places)
        if workers > 1:
            pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
            hashed = pool.map(task, places, chunksize=64)
        for n, value in enumerate(hashed, 1):
            results.append(value)
            if progress and (n % 256 == 0 or n == len(places)):
                progress(n, len(places))
    pairs = [(place, value) for place, value in zip(places, results, strict=True) if isinstance(value, int)]
    values = np.array([value for _, value in pairs], dtype=np.uint64)
    without = {why: [p for p, v in zip(places, results, strict=True) if v == why] for why in (UNREADABLE, ONE_COLOUR)}
    return Hashes(tuple(place for place, _ in pairs), values, without)


def near_duplicates(
    own: Hashes, benchmark: Hashes, max_bits: int = MAX_DIFFERENT_BITS
) -> list[tuple[Place, Place, int]]:
    """(own place, nearest place of the benchmark, differing bits) of every own image that duplicates one of it."""
    pairs = []
    for start in range(0, len(own.values), 1024):
        block = own.values[start : start + 1024]
        if not benchmark.values.size:
            break
        bits = np.bitwise_count(block[:, None] ^ benchmark.values[None, :])
        nearest = bits.argmin(axis=1)
        for n in np.flatnonzero(bits.min(axis=1) <= max_bits).tolist():
            other = int(nearest[n])
            pairs.append((own.names[start + n], benchmark.names[other], int(bits[n, other])))
    return pairs
