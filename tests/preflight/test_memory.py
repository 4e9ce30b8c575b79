"""The memory of the 7B, from its config alone, beside what was worked out by hand (weights, gradients, optimiser)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gemvg_repro.preflight.base_config import SHIPPED
from gemvg_repro.preflight.estimates import cuts, memory_of, valid_processes
from gemvg_repro.preflight.memory import generation_memory
from gemvg_repro.preflight.passes import Batch, Trained, activation_bytes
from gemvg_repro.study.profiles import load_profile

from ..training.made import SFT
from .test_costs import SMALL_BY_FAMILY, model_of

QWEN_7B: dict[str, Any] = json.loads((SHIPPED / "Qwen--Qwen2-VL-7B-Instruct.json").read_text())
PAPER = load_profile("paper")


def test_the_parts_of_sft_on_one_device_and_on_eight() -> None:
    one, eight = (memory_of("sft", PAPER, QWEN_7B, processes) for processes in (1, 8))
    by_hand = {"weights": 16.58e9, "gradients": 15.23e9, "optimiser": 76.16e9, "patches of a step": 7.4e9}
    assert {name: one.parts[name] for name in by_hand} == pytest.approx(by_hand, rel=0.01)
    assert one.phase == "training" and 116e9 < one.total < 135e9
    assert eight.parts["optimiser"] == pytest.approx(by_hand["optimiser"] / 8, rel=0.01)
    assert eight.parts["weights"] == one.parts["weights"] and eight.total < 60e9


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "card"), [("paper_lora", 80), ("small", 24)])
def test_a_profile_with_lora_fits_its_card(profile: str, card: int) -> None:
    settings = load_profile(profile)
    config = json.loads((SHIPPED / f"{settings.base.replace('/', '--')}.json").read_text())
    for kind in ("sft", "cot_sft", "cot", "hybrid", "evaluate"):
        memory = memory_of(kind, settings, config)
        assert memory.total < (card - 3) * 2.0**30, (kind, memory)
        assert memory.parts.get("optimiser", 0) < memory.parts["weights"] / 5


@pytest.mark.slow
@pytest.mark.parametrize("config", SMALL_BY_FAMILY.values(), ids=SMALL_BY_FAMILY)
def test_each_family_passes_through_the_estimate(config: dict[str, Any]) -> None:
    trained = Trained.of(config, "float32", SFT)
    rows, packed = Batch((96, 64), (128, 128), 8), Batch((96,), (128,), 8, dense=True)
    assert activation_bytes(trained, rows) > activation_bytes(trained, packed) > 0
    memory = generation_memory(config, "float32", SFT, rows, longest=100)
    assert memory.parts["weights"] == 4 * sum(weights.numel() for weights in model_of(config).parameters())
    assert memory.total > memory.parts["weights"]


def test_what_must_be_cut_is_said_in_numbers() -> None:
    assert valid_processes("sft", PAPER) == [1, 2, 4, 8, 16, 32, 64]
    fits = list(cuts("sft", PAPER, QWEN_7B, 80 * 2.0**30))
    assert [line.partition(" fits")[0] for line in fits] == ["--gpus 4"]
