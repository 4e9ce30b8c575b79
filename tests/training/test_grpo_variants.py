"""What the controls change in a step of TRL's own trainer, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from trl import GRPOTrainer

from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.collator import ConversationCollator
from gemvg_repro.training.grpo import GroundingGRPOTrainer, train_grpo
from gemvg_repro.training.prefix_sharing import SharedPrefixGRPOTrainer

from ..tiny_model import model_and_processor, samples
from .made import GRPO


def step(variant: str, folder: Path, patch: pytest.MonkeyPatch, reward: Any) -> dict[str, Any]:
    """One step with these rewards, (modes of the completions) -> (completions,): the prompts, and the advantages."""
    seen: dict[str, Any] = {}

    def rewards(self: GRPOTrainer, inputs: Any, *_: Any) -> Tensor:
        modes = [row["mode"] for row in inputs]
        seen.update(mode=modes, sample=[row["index"] for row in inputs])
        return torch.tensor(reward(modes), dtype=torch.float32)[:, None] * torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0]])

    original = SharedPrefixGRPOTrainer._generate_and_score_completions

    def scored(self: GRPOTrainer, inputs: Any) -> Any:
        seen["advantages"] = (batch := original(self, inputs))["advantages"].tolist()
        return batch

    patch.setattr(GRPOTrainer, "_calculate_rewards", rewards)
    patch.setattr(GroundingGRPOTrainer, "_generate_and_score_completions", scored)
    model, processor = model_and_processor()
    train_grpo(
        model, processor, samples(), samples("validation")[:2], FORMS[variant], GRPO.for_steps(1),
        collate=ConversationCollator(processor, 20), seed=0, folder=folder, record=lambda entry: None,
    )  # fmt: skip
    return seen


def direct_is_right(modes: list[str]) -> list[float]:
    return [float(mode == "direct") for mode in modes]


def test_in_a_joint_group_the_modes_compete_and_in_pairs_they_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = GRPO.rollouts // 2
    joint = step("joint", tmp_path / "joint", monkeypatch, direct_is_right)
    assert joint["mode"] == ["direct"] * half + ["cot"] * half + ["direct"] * half + ["cot"] * half
    assert [a > 0.5 for a in joint["advantages"]] == [mode == "direct" for mode in joint["mode"]]
    paired = step("hybrid", tmp_path / "paired", monkeypatch, direct_is_right)
    assert (paired["mode"], paired["sample"]) == (joint["mode"], joint["sample"])
    assert paired["advantages"] == [0.0] * len(paired["mode"])


def test_a_shuffled_reward_is_that_of_another_sample_in_the_same_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_the_first_sample_s(modes: list[str]) -> list[float]:
        return [float(n) if n < GRPO.rollouts else 0.0 for n in range(len(modes))]

    plain = step("hybrid", tmp_path / "plain", monkeypatch, only_the_first_sample_s)
    shuffled = step("shuffled", tmp_path / "shuffled", monkeypatch, only_the_first_sample_s)
    n = GRPO.rollouts
    assert plain["sample"] == shuffled["sample"] and plain["sample"][0] != plain["sample"][n]
    assert shuffled["advantages"][n:] == pytest.approx(plain["advantages"][:n])
    assert shuffled["advantages"][:n] == [0.0] * n and any(plain["advantages"])


def test_a_reward_cannot_be_shuffled_with_itself(tmp_path: Path) -> None:
    from dataclasses import replace

    model, processor = model_and_processor()
    alone = replace(GRPO, prompts=1, steps=1)
    with pytest.raises(ValueError, match="`prompts` must be 2 or more"):
        train_grpo(
            model, processor, samples(), samples("validation")[:2], FORMS["shuffled"], alone,
            collate=ConversationCollator(processor, 20), seed=0, folder=tmp_path, record=lambda entry: None,
        )  # fmt: skip
