"""Grey images of more than 8 bits a pixel as 8-bit grey, by one rule.

Whole numbers from 0 are scaled by the smallest of 8, 10, 12, 14 and 16 bits that holds the brightest pixel: files of 16
bits often hold the 10 to 14 of a sensor. Floats of at most 1 are of [0, 1]; of at most 255, and whole or with a
brightest pixel of at least 128, of 8 bits. Anything else (depth, temperatures) does not say what white is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .validation import Refused

_BITS = (8, 10, 12, 14, 16)


def is_deep(mode: str) -> bool:
    """Whether an image of this mode of Pillow is grey of more than 8 bits."""
    return mode.startswith(("I", "F"))


def eight_bits(image: Image.Image) -> Image.Image:
    """The image, a grey one of more than 8 bits (Pillow's modes I;16, I and F) as mode L.

    Raises Refused for numbers whose range is not known.
    """
    if not is_deep(image.mode):
        return image
    values = np.asarray(image)
    grey = _of_floats(values) if image.mode == "F" else _of_integers(values)
    if grey is None:
        raise Refused(
            f"has grey values from {values.min():g} to {values.max():g} (mode {image.mode}), and does not say which is "
            "white; store it as 8- or 16-bit grey from 0, or as RGB"
        )
    return Image.fromarray(grey)


def _of_integers(values: NDArray[np.generic]) -> NDArray[np.uint8] | None:
    numbers = values.astype(np.int64)
    brightest = int(numbers.max())
    bits = next((bits for bits in _BITS if brightest < 2**bits), None)
    return None if bits is None or numbers.min() < 0 else (numbers >> (bits - 8)).astype(np.uint8)


def _of_floats(values: NDArray[np.generic]) -> NDArray[np.uint8] | None:
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all() or numbers.min() < 0:
        return None
    brightest = numbers.max()
    if brightest <= 1:
        return np.rint(numbers * 255).astype(np.uint8)
    eight = brightest <= 255 and (brightest >= 128 or (numbers == np.rint(numbers)).all())
    return np.rint(numbers).astype(np.uint8) if eight else None
