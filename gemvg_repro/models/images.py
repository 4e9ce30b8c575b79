"""Images as the model takes them: patches and grids, of each distinct image once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_utils import SizeDict

ImageInputs = dict[str, Any]
"""pixel_values: (patches of the distinct images, values of a patch). image_grid_thw: (images, 3). copy_of: the number
of the distinct image that each image is, in order of first occurrence; left out where all are distinct.

For a model whose tower `vision.batch_vision_tower` has patched; what transformers' own takes is `repeated`.
"""


def image_inputs(image_processor: Any, images: Sequence[Image.Image]) -> ImageInputs:
    """Resizes, normalises and patches each distinct image once. GRPO's prompts repeat a sample's images in each mode;
    the same image may also be in several conversations."""
    content = {id(image): (image.size, image.tobytes()) for image in images}
    numbers: dict[tuple[tuple[int, int], bytes], int] = {}
    copy_of = [numbers.setdefault(content[id(image)], len(numbers)) for image in images]
    pixel_values, grids = _patches(image_processor, [images[i] for i in _firsts(copy_of)])
    return _inputs(pixel_values, grids[copy_of], copy_of)


def _patches(processor: Any, images: Sequence[Image.Image]) -> tuple[torch.Tensor, torch.Tensor]:
    """What transformers' image processor returns, to the bit; it spends most of its time in moving numbers.

    Rescaling and normalising take a pixel to a number that depends on its value and channel alone. So they are computed
    for the 256 values, pixels are brought into the order of patches as bytes, and the numbers are written in place.
    """
    size, merge, frames = processor.patch_size, processor.merge_size, processor.temporal_patch_size
    values = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256))
    rescaled = processor.rescale(values, processor.rescale_factor)
    table = processor.normalize(rescaled, processor.image_mean, processor.image_std).astype(np.float32)[:, 0]
    limits = {"size": SizeDict(**dict(processor.size)), "resample": processor.resample, "factor": size * merge}
    resized = [processor.resize(np.asarray(image.convert("RGB")).transpose(2, 0, 1), **limits) for image in images]
    grids = [(image.shape[1] // size, image.shape[2] // size) for image in resized]
    patches = np.empty((sum(rows * columns for rows, columns in grids), 3, frames, size * size), dtype=np.float32)
    start = 0
    for image, (rows, columns) in zip(resized, grids, strict=True):
        cells = image.reshape(3, rows // merge, merge, size, columns // merge, merge, size)
        cells = cells.transpose(1, 4, 2, 5, 0, 3, 6).reshape(rows * columns, 3, size * size)
        for channel in range(3):
            patches[start : start + len(cells), channel] = table[channel][cells[:, channel]][:, None]
        start += len(cells)
    return torch.from_numpy(patches.reshape(len(patches), -1)), torch.tensor([[1, *grid] for grid in grids])


def taken(inputs: ImageInputs, images: Sequence[int]) -> ImageInputs:
    """The inputs of these images only, by number; empty without any."""
    if not images or list(images) == list(range(len(inputs["image_grid_thw"]))):
        return inputs if images else {}
    grids = inputs["image_grid_thw"]
    copy_of = inputs.get("copy_of", range(len(grids)))
    patches = torch.split(inputs["pixel_values"], grids[_firsts(copy_of)].prod(-1).tolist())
    numbers = list(dict.fromkeys(copy_of[i] for i in images))
    renumbered = {number: new for new, number in enumerate(numbers)}
    if numbers == list(range(numbers[0], numbers[-1] + 1)):  # a view
        start, end = (sum(map(len, patches[:number])) for number in (numbers[0], numbers[-1] + 1))
        pixel_values = inputs["pixel_values"][start:end]
    else:
        pixel_values = torch.cat([patches[number] for number in numbers])
    return _inputs(pixel_values, grids[list(images)], [renumbered[copy_of[i]] for i in images])


def repeated(inputs: ImageInputs) -> ImageInputs:
    """pixel_values and image_grid_thw as transformers takes them: with the patches of every image."""
    if "copy_of" not in inputs:
        return inputs
    grids, copy_of = inputs["image_grid_thw"], inputs["copy_of"]
    patches = torch.split(inputs["pixel_values"], grids[_firsts(copy_of)].prod(-1).tolist())
    return {"pixel_values": torch.cat([patches[number] for number in copy_of]), "image_grid_thw": grids}


def with_image_tokens(ids: Sequence[int], image_token: int, token_counts: Iterator[int]) -> list[int]:
    """Token ids with the single token of each image repeated as often as `token_counts` gives next."""
    return [token for token in ids for _ in range(next(token_counts) if token == image_token else 1)]


def token_counts(inputs: ImageInputs, merge_size: int) -> list[int]:
    """How many tokens each image has in the prompt."""
    counts: list[int] = (inputs["image_grid_thw"].prod(-1) // merge_size**2).tolist()
    return counts


def _firsts(copy_of: Sequence[int]) -> list[int]:
    """The first image of each number."""
    return [copy_of.index(number) for number in range(max(copy_of, default=-1) + 1)]


def _inputs(pixel_values: torch.Tensor, grids: torch.Tensor, copy_of: list[int]) -> ImageInputs:
    inputs = {"pixel_values": pixel_values, "image_grid_thw": grids}
    return inputs if len(set(copy_of)) == len(copy_of) else {**inputs, "copy_of": copy_of}
