"""Updates of half-precision weights are as exact as in fp32, and resume to the same bits."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from gemvg_repro.study.profiles import load_profile
from gemvg_repro.training.optimisers import ExactAdamW, build_optimiser, load_state_by_weight, state_by_weight

PAPER = load_profile("paper").grpo.optimiser


class Weights(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.matrix = nn.Parameter((torch.randn(64, 64) * 0.02).bfloat16().to(dtype))


def gradients(count: int) -> list[Tensor]:
    """Noise about a direction that stays, as bfloat16 holds it."""
    generator = torch.Generator().manual_seed(1)
    constant = torch.randn(64, 64, generator=generator)
    return [(constant + torch.randn(64, 64, generator=generator)).bfloat16() for _ in range(count)]


def moved(optimiser: Optimizer, weights: Weights, steps: list[Tensor]) -> Tensor:
    before = weights.matrix.detach().clone().double()
    for gradient in steps:
        weights.matrix.grad = gradient.to(weights.matrix.dtype)
        optimiser.step()
    return weights.matrix.detach().double() - before


def test_in_fp32_it_is_adamw() -> None:
    ours, stock = Weights(torch.float32), Weights(torch.float32)
    settings: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.99)}
    by_us = moved(ExactAdamW([{"params": [ours.matrix], "weight_decay": 0.1}], **settings), ours, gradients(50))
    by_torch = moved(AdamW([stock.matrix], weight_decay=0.1, **settings), stock, gradients(50))
    assert torch.allclose(by_us, by_torch, atol=1e-7)


def test_half_precision_weights_move_at_the_learning_rate_of_the_paper_s_profile() -> None:
    """torch's AdamW, in bfloat16 throughout, moves one in fifty of them at all."""
    steps = gradients(300)
    exact, ours, stock = Weights(torch.float32), Weights(torch.bfloat16), Weights(torch.bfloat16)
    aim = moved(AdamW([exact.matrix], lr=PAPER.lr, betas=PAPER.betas, weight_decay=0.0), exact, steps)
    optimiser = build_optimiser(ours, PAPER)
    by_us = moved(optimiser, ours, steps) + optimiser.state[ours.matrix]["lost"].double()
    by_torch = moved(AdamW([stock.matrix], lr=PAPER.lr, betas=PAPER.betas, weight_decay=0.0), stock, steps)
    assert (by_us - aim).abs().mean() < 0.05 * aim.abs().mean()
    assert by_torch.abs().mean() < 0.2 * aim.abs().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_resumes_to_the_same_bits(dtype: torch.dtype) -> None:
    steps = gradients(40)
    whole, half = Weights(dtype), Weights(dtype)
    moved(build_optimiser(whole, PAPER), whole, steps)
    first = build_optimiser(half, PAPER)
    moved(first, half, steps[:20])
    file = io.BytesIO()
    torch.save(state_by_weight(half, first), file)
    file.seek(0)
    second = build_optimiser(half, PAPER)
    load_state_by_weight(half, second, torch.load(file, weights_only=True))
    state = second.state[half.matrix]
    assert (state["mean"].dtype, state["square"].dtype, state["lost"].dtype) == (torch.float32, torch.float32, dtype)
    moved(second, half, steps[20:])
    assert torch.equal(whole.matrix, half.matrix)
