"""FLOPs and hours by formula against torch's own counters, and what a plan says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from trl.kernels import ChunkedLogProbFunction

from gemvg_repro.models.families import QWEN2_5_VL, QWEN3_VL, family_of
from gemvg_repro.models.vision import batch_vision_tower
from gemvg_repro.preflight.base_config import SHIPPED
from gemvg_repro.preflight.costs import Pass, checkpoint_bytes, expected, step_flops
from gemvg_repro.preflight.shapes import ModelShape
from gemvg_repro.study.devices import DEVICES
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.training.lora import inject
from gemvg_repro.training.settings import LoRASettings

from ..training.made import SFT

QWEN_7B: dict[str, Any] = json.loads((SHIPPED / "Qwen--Qwen2-VL-7B-Instruct.json").read_text())
SMALL = QWEN_7B | {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 512, "image_token_id": 500,
    "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
    "vision_config": QWEN_7B["vision_config"] | {"depth": 2, "embed_dim": 64, "num_heads": 2, "hidden_size": 128},
}  # fmt: skip
_TOWER = {
    "depth": 2, "hidden_size": 64, "intermediate_size": 96, "num_heads": 2, "out_hidden_size": 128, "patch_size": 14,
    "spatial_merge_size": 2, "temporal_patch_size": 2,
}  # fmt: skip
SMALL_BY_FAMILY: dict[str, dict[str, Any]] = {
    "qwen2_vl": SMALL,
    "qwen2_5_vl": SMALL | {
        "model_type": QWEN2_5_VL.model_type,
        "vision_config": _TOWER | {"window_size": 112, "fullatt_block_indexes": [1]},
    },
    "qwen3_vl": {
        "model_type": QWEN3_VL.model_type, "image_token_id": 500, "tie_word_embeddings": True,
        "text_config": {
            "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 512,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [12, 10, 10]},
        },
        "vision_config": _TOWER | {"num_position_embeddings": 144, "deepstack_visual_indexes": [0]},
    },
}  # fmt: skip
IMAGES = (8, 16)
"""Height and width in patches, of two images of a size: two windows of Qwen2.5-VL."""
TEXT, SCORED = 40, 16
IN_PLACE = {torch.ops.aten.addmm_: lambda total, a, b, *_, **__: 2 * a[0] * a[1] * b[1]}
"""torch's counters leave this one out, in which TRL's head sums its gradients."""


def model_of(config: dict[str, Any]) -> Any:
    family = family_of(config)
    return family.model_class(family.config_class.from_dict(json.loads(json.dumps(config))))


def counted(config: dict[str, Any], frozen: bool, checkpointing: bool) -> int:
    """FLOPs of a forward and backward pass of the real model, by torch's counters."""
    model = model_of(config).train()
    model.model.visual.requires_grad_(not frozen)
    batch_vision_tower(model)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    image = [config["image_token_id"]] * (IMAGES[0] * IMAGES[1] // 4)
    ids = torch.tensor([[*image, 0, *image, *range(TEXT - 1)]])
    patches = torch.randn(2 * IMAGES[0] * IMAGES[1], model.model.visual.patch_embed.proj.weight[0].numel())
    # torch's counters know attention as two matrix products, of which the CPU's own kernel is one call
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        states = model.model(
            input_ids=ids, mm_token_type_ids=(ids == config["image_token_id"]).int(), pixel_values=patches,
            image_grid_thw=torch.tensor([[1, *IMAGES]] * 2), use_cache=False,
        ).last_hidden_state[0, -SCORED:]  # fmt: skip
        weight, targets = model.lm_head.weight, torch.zeros(SCORED, dtype=torch.long)
        scored = ChunkedLogProbFunction.apply(states, weight, None, targets, 1.0, len(weight), None, 1.0, ())
        scored[0].sum().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize(("frozen", "checkpointing"), [(True, True), (False, False)])
@pytest.mark.parametrize("config", SMALL_BY_FAMILY.values(), ids=SMALL_BY_FAMILY)
def test_the_flops_of_a_step_are_those_that_torch_counts(
    config: dict[str, Any], frozen: bool, checkpointing: bool
) -> None:
    patches = IMAGES[0] * IMAGES[1]
    one = Pass.of_rows([patches // 2 + TEXT], [patches] * 2, SCORED)
    settings = replace(SFT, frozen_vision=frozen, gradient_checkpointing=checkpointing)
    formula = step_flops(ModelShape.of(config), one, settings)
    assert formula == pytest.approx(
        counted(config, frozen, checkpointing), rel=0.03
    )  # flash attention computes its scores again backwards


@pytest.mark.parametrize("config", SMALL_BY_FAMILY.values(), ids=SMALL_BY_FAMILY)
def test_the_weights_are_those_of_the_matrices(config: dict[str, Any]) -> None:
    model = model_of(config)
    matrices = {weights for weights in model.parameters() if weights.ndim > 1}
    assert ModelShape.of(config).weights == sum(weights.numel() for weights in matrices)
    targets = ("q_proj", "o_proj", "down_proj")
    inject(model, LoRASettings(rank=2, alpha=4, targets=targets), seed=0)
    trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    assert ModelShape.of(config).trained(replace(SFT, lora=LoRASettings(2, 4, targets))) == trained


def test_hours_and_disk_of_the_7b() -> None:
    shape, paper = ModelShape.of(QWEN_7B), load_profile("paper")
    assert (shape.weights, shape.trained(replace(SFT, frozen_vision=True))) == pytest.approx(
        (8.2914e9, 7.616e9), rel=1e-3
    )
    sft = expected("sft", paper, shape, DEVICES["H200"], 1)
    assert 15 < sft.hours < 30 and sft.disk == pytest.approx((3 * 92.8 + 16.6) * 1e9, rel=0.01)
    assert expected("sft", paper, shape, DEVICES["H100"], 8).hours < 1.3 * sft.hours
    assert expected("report", paper, shape, DEVICES["H200"], 1).hours == 0


def test_the_grid_of_the_paper_asks_for_what_each_kind_needs() -> None:
    resources = Grid.load(Path(__file__).parents[2] / "sweeps/paper.yaml").resources
    gpus = {kind: resources.needs(kind).gpus for kind in ("data", "sft", "hybrid", "evaluate", "report")}
    assert gpus == {"data": 0, "sft": 1, "hybrid": 1, "evaluate": 1, "report": 0}
    shape = ModelShape.of(QWEN_7B)
    trained = checkpoint_bytes(shape, 2, load_profile("paper").sft)
    assert resources.needs("sft").mem_gb * 1e9 > trained + 2 * shape.weights  # type: ignore[operator]
