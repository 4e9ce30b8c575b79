"""Images as the model takes them: patches and grids, of each distinct image once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image

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
    features = image_processor([images[i] for i in _firsts(copy_of)], return_tensors="pt")
    return _inputs(features["pixel_values"], features["image_grid_thw"][copy_of], copy_of)


def taken(inputs: ImageInputs, images: Sequence[int]) -> ImageInputs:
    """The inputs of these images only, by number; empty without any."""
    if not images or list(images) == list(range(len(inputs["image_grid_thw"]))):
        return inputs if images else {}
    grids = inputs["image_grid_thw"]
    copy_of = inputs.get("copy_of", range(len(grids)))
    patches = torch.split(inputs["pixel_values"], grids[_firsts(copy_of)].prod(-1).tolist())
    numbers = {number: None for number in (copy_of[i] for i in images)}
    renumbered = {number: new for new, number in enumerate(numbers)}
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
