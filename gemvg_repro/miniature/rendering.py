"""Renders pictures of the world, in integer arithmetic, so that every machine draws the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE = 64
"""Pixels of a picture's side."""

_PAINT = np.array([(214, 44, 44), (44, 176, 62), (52, 76, 226), (230, 208, 40)], dtype=np.int16)
_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE].astype(np.uint32)
_CELLS = _ROWS * np.uint32(SIDE) + _COLUMNS

_CONTRAST = 70
"""How much darker the stripes of a marking are, of 255."""

Silhouette = tuple[int, int, int, int, int, int, int]
"""category, colour, shade (0..15), x, y, width, height in pixels."""


def _hash(cells: NDArray[np.uint32], seed: int) -> NDArray[np.uint32]:
    """A well-mixed 32-bit value for each cell (the finaliser of MurmurHash3, public domain)."""
    h = cells * np.uint32(0x9E3779B1) ^ np.uint32((seed * 0x85EBCA6B + 0x1B873593) & 0xFFFFFFFF)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


GROUNDS, GRAINS = 1024, 256
"""How many textures and how many noise fields there are; pictures combine them."""


@lru_cache(maxsize=GROUNDS)
def _ground(seed: int) -> NDArray[np.int16]:
    """A greyish texture: blocks, stripes or both, with no relation between brightness and position."""
    block = (4, 8, 16)[seed % 3]
    blocks = _ROWS // np.uint32(block) * np.uint32(SIDE) + _COLUMNS // np.uint32(block)
    texture = (_hash(blocks, seed) & np.uint32(63)).astype(np.int32) - 32
    if seed & 4:
        along = _ROWS if seed & 8 else _COLUMNS
        stripes = _hash(along // np.uint32(3), seed + 1)
        texture = (texture + (stripes & np.uint32(63)).astype(np.int32) - 32) // 2
    tint = np.array([(seed >> s) % 32 for s in (3, 6, 9)], dtype=np.int32)
    return (texture[..., None] + tint + 96 + (seed >> 4) % 32).astype(np.int16)


@lru_cache(maxsize=GRAINS)
def _grain(seed: int) -> NDArray[np.int16]:
    """Independent noise of -16..15 in each channel of each pixel."""
    noise = _hash(_CELLS, seed ^ 0x5BD1E995)
    channels = [(noise >> np.uint32(8 * c)) & np.uint32(31) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.int16) - np.int16(16)


@cache
def silhouette(category: int, w: int, h: int) -> NDArray[np.bool_]:
    """The silhouette in its (h, w) box, touching all four sides."""
    y, x = np.mgrid[0:h, 0:w]
    u, v = np.abs(2 * x + 1 - w), np.abs(2 * y + 1 - h)
    if category == 0:  # disc
        mask = (u * h) ** 2 + (v * w) ** 2 <= (w * h) ** 2
    elif category == 1:  # square
        mask = np.ones((h, w), dtype=np.bool_)
    elif category == 2:  # triangle, point up
        mask = u * h <= (y + 1) * w + h
    else:  # cross
        mask = (u * 3 <= max(w, 3)) | (v * 3 <= max(h, 3))
    frozen: NDArray[np.bool_] = mask
    frozen.setflags(write=False)
    return frozen


@cache
def _marking(category: int, w: int, h: int) -> NDArray[np.int16]:
    """What is added to the paint, of shape (h, w): each category has its stripes, as animals have their coats."""
    y, x = np.mgrid[0:h, 0:w]
    dark = (
        np.zeros((h, w), dtype=np.bool_),  # disc: plain
        y // 2 % 2 == 1,  # square: lying stripes
        x // 2 % 2 == 1,  # triangle: standing stripes
        (x // 2 + y // 2) % 2 == 1,  # cross: checks
    )[category]
    marking = np.where(dark, np.int16(-_CONTRAST), np.int16(0))
    marking.setflags(write=False)
    return marking


def render(ground: int, noise: int, silhouettes: Iterable[Silhouette]) -> NDArray[np.uint8]:
    """RGB pixels of shape (SIDE, SIDE, 3) of silhouettes on a ground, with grain over everything.

    `ground` is below GROUNDS and `noise` below GRAINS.
    """
    canvas = _ground(ground).copy()
    for category, colour, shade, x, y, w, h in silhouettes:
        inside = silhouette(category, w, h)
        paint = _PAINT[colour] + np.int16((shade - 8) * 3)
        canvas[y : y + h, x : x + w][inside] = (paint + _marking(category, w, h)[..., None])[inside]
    canvas += _grain(noise)
    return np.clip(canvas, 0, 255).astype(np.uint8)
