"""Qwen2-VL's image processor without repeated work: equal images of a batch are processed once."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import BatchFeature
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil


class DistinctImageProcessor(Qwen2VLImageProcessorPil):  # type: ignore[misc]
    """Qwen2-VL's image processor, which resizes, normalises and patches each distinct image of a call once.

    A group of GRPO rollouts repeats its images once a rollout. Patches are equal to transformers' own.
    """

    def _preprocess(self, images: list[np.ndarray], return_tensors: Any = None, **kwargs: Any) -> BatchFeature:
        index_of: dict[tuple[tuple[int, ...], bytes], int] = {}
        distinct: list[np.ndarray] = []
        indices = []
        for image in images:
            key = (image.shape, image.tobytes())
            if key not in index_of:
                index_of[key] = len(distinct)
                distinct.append(image)
            indices.append(index_of[key])
        if len(distinct) == len(images):
            return super()._preprocess(images, return_tensors=return_tensors, **kwargs)
        features = super()._preprocess(distinct, return_tensors="np", **kwargs)
        grids = features["image_grid_thw"]
        patches = np.split(features["pixel_values"], np.cumsum(grids.prod(-1))[:-1])
        return BatchFeature(
            {"pixel_values": np.concatenate([patches[i] for i in indices]), "image_grid_thw": grids[indices]},
            tensor_type=return_tensors,
        )
