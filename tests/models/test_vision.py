"""The fast paths equal transformers' own, for images of unequal sizes and for repeated ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ..tiny_model import folder, model_and_processor

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
    _, processor = model_and_processor()
    stock = Qwen2VLImageProcessorPil.from_pretrained(folder())
    ours = processor.image_processor(images_of(shapes, repeat), return_tensors="pt")
    theirs = stock(images_of(shapes, repeat), return_tensors="pt")
    assert torch.equal(ours["pixel_values"], theirs["pixel_values"])
    assert torch.equal(ours["image_grid_thw"], theirs["image_grid_thw"])


@pytest.mark.parametrize("repeat", [1, 3])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_features_and_gradients_equal_the_stock_ones(shapes: list[tuple[int, int]], repeat: int) -> None:
    ours, processor = model_and_processor()
    stock = Qwen2VLForConditionalGeneration.from_pretrained(folder())
    inputs = processor.image_processor(images_of(shapes, repeat), return_tensors="pt")
    gradients = []
    features = []
    for model in (ours, stock):
        out = model.model.visual(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"])
        weight = torch.linspace(-1, 1, out.pooler_output.numel()).view_as(out.pooler_output)
        (out.pooler_output * weight).sum().backward()
        features.append((out.pooler_output.detach(), out.last_hidden_state.detach()))
        gradients.append({n: p.grad for n, p in model.model.visual.named_parameters()})
    for a, b in zip(*features, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-3)


def test_a_frozen_tower_is_not_computed_backwards() -> None:
    model, _ = model_and_processor()
    model.activation_checkpointing_enable({"use_reentrant": False})
    grid = torch.tensor([[1, 4, 4]])
    patches = torch.randn(16, model.model.visual.patch_embed.proj.weight[0].numel())
    for trained in (True, False):
        model.model.visual.requires_grad_(trained)
        assert model.model.visual(patches, grid_thw=grid).pooler_output.requires_grad is trained
