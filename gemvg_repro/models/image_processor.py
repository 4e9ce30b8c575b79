"""How are pictures cut into patches when many in a batch are the same one?"""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import BatchFeature
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil


class DistinctImageProcessor(Qwen2VLImageProcessorPil):  # type: ignore[misc]
    """Qwen2-VL's image processor, which resizes and normalises each distinct picture of a call once.

    A group of GRPO rollouts repeats its pictures as often as it has members. Patches equal the stock ones.
    """

    def _preprocess(self, images: list[np.ndarray], return_tensors: Any = None, **kwargs: Any) -> BatchFeature:
        places: dict[tuple[tuple[int, ...], bytes], int] = {}
        distinct: list[np.ndarray] = []
        wanted = []
        for image in images:
            key = (image.shape, image.tobytes())
            if key not in places:
                places[key] = len(distinct)
                distinct.append(image)
            wanted.append(places[key])
        if len(distinct) == len(images):
            return super()._preprocess(images, return_tensors=return_tensors, **kwargs)
        once = super()._preprocess(distinct, return_tensors="np", **kwargs)
        grids = once["image_grid_thw"]
        patches = np.split(once["pixel_values"], np.cumsum(grids.prod(-1))[:-1])
        return BatchFeature(
            {"pixel_values": np.concatenate([patches[i] for i in wanted]), "image_grid_thw": grids[wanted]},
            tensor_type=return_tensors,
        )
