"""The fast paths equal transformers' own, for images of unequal sizes and for repeated ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from gemvg_repro.models.families import FAMILIES, QWEN2_VL, QWEN3_VL, Family
from gemvg_repro.models.images import image_inputs, repeated, taken

from ..tiny_families import folder, model_and_processor, stock

SHAPES = {
    "equal": [(64, 64)] * 3,
    "unequal": [(64, 64), (32, 80), (64, 64), (16, 48), (80, 32)],
    "one": [(48, 32)],
}


def images_of(shapes: list[tuple[int, int]], repeat: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in shapes]
    return images * repeat


@pytest.mark.parametrize("repeat", [1, 3])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_patches_equal_the_stock_ones(shapes: list[tuple[int, int]], repeat: int) -> None:
    _, processor = model_and_processor(QWEN2_VL)
    stock = Qwen2VLImageProcessorPil.from_pretrained(folder(QWEN2_VL))
    ours = image_inputs(processor.image_processor, images_of(shapes, repeat))
    assert len(ours["pixel_values"]) == ours["image_grid_thw"][: len(shapes)].prod(-1).sum(), "each image once"
    last = taken(ours, range(len(shapes) * repeat)[-2:])
    ours = repeated(ours)
    assert torch.equal(repeated(last)["pixel_values"], ours["pixel_values"][-len(repeated(last)["pixel_values"]) :])
    theirs = stock(images_of(shapes, repeat), return_tensors="pt")
    assert torch.equal(ours["pixel_values"], theirs["pixel_values"])
    assert torch.equal(ours["image_grid_thw"], theirs["image_grid_thw"])


@pytest.mark.parametrize("repeat", [1, 3])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_features_and_gradients_equal_the_stock_ones(
    family: Family, shapes: list[tuple[int, int]], repeat: int
) -> None:
    ours, processor = model_and_processor(family)
    inputs = image_inputs(processor.image_processor, images_of(shapes, repeat))
    gradients = []
    features = []
    for model, taken_by in ((ours, inputs), (stock(family), repeated(inputs))):
        pixels, grids, copy_of = (taken_by.get(n) for n in ("pixel_values", "image_grid_thw", "copy_of"))
        out = model.model.visual(pixels, grid_thw=grids, copy_of=copy_of)
        every = torch.stack([out.pooler_output, *out.get("deepstack_features", [])])
        torch.autograd.backward((every * torch.linspace(-1, 1, every.numel()).view_as(every)).sum())
        features.append(every.detach())
        gradients.append({n: p.grad for n, p in model.model.visual.named_parameters()})
    torch.testing.assert_close(*features, rtol=1e-5, atol=1e-5)
    assert len(features[0]) == (2 if family is QWEN3_VL else 1)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-3)


def test_a_frozen_tower_is_not_computed_backwards() -> None:
    model, _ = model_and_processor(QWEN2_VL)
    model.activation_checkpointing_enable({"use_reentrant": False})
    grid = torch.tensor([[1, 4, 4]])
    patches = torch.randn(16, model.model.visual.patch_embed.proj.weight[0].numel())
    for trained in (True, False):
        model.model.visual.requires_grad_(trained)
        assert model.model.visual(patches, grid_thw=grid).pooler_output.requires_grad is trained
