"""The optimisers of a training: AdamW that is exact in half precision, and Muon for a small model's matrices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from transformers import PreTrainedModel

from .settings import GRPOSettings, OptimiserSettings, SFTSettings

_NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)
"""Coefficients of Keller Jordan's Muon (kellerjordan.github.io/posts/muon), as in torch.optim.Muon."""


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Brings the singular values of each of (n, rows, columns) matrices close to 1, by Newton-Schulz iteration."""
    a, b, c = _NEWTON_SCHULZ
    wide = matrices.shape[1] <= matrices.shape[2]
    x: Tensor = matrices if wide else matrices.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


class Muon(Optimizer):
    """Muon: orthogonalised momentum, for matrices only.

    torch.optim.Muon works in bf16 on one matrix at a time: 0.6 s a step for the miniature on a CPU without bf16, and
    other bits on other CPUs. This one works in fp32 on all matrices of a shape at once.
    """

    def __init__(self, matrices: list[nn.Parameter], lr: float, momentum: float, weight_decay: float):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape[matrix.shape].append(matrix)
            for shape, matrices in by_shape.items():
                updates = orthogonalise(torch.stack([self._momentum(m, group["momentum"]) for m in matrices]))
                scale = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-scale)

    def _momentum(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov momentum, after the gradient has entered the running mean."""
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        assert matrix.grad is not None
        state["momentum"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(state["momentum"], momentum)


class ExactAdamW(Optimizer):
    """AdamW (arXiv 1711.05101, algorithm 2) that loses no update to the weights' precision.

    Nearly all bfloat16 weights of a 7B model lose an update of 1e-6 to rounding, and second moments in bfloat16 would
    lose the decay of .999. So moments are fp32, and each weight's rounding error is kept in its own precision and added
    to its next update (Kahan summation, arXiv 2010.06192, section 4); fp32 weights have none. The state takes 10 bytes
    a weight in bfloat16, beside weight and gradient.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float], eps: float = 1e-8
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)

    def _update(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            moment = torch.zeros_like(weight, dtype=torch.float32)
            state.update(step=0, mean=moment, square=moment.clone(), lost=torch.zeros_like(weight))
        state["step"] += 1
        (first, second), gradient = group["betas"], weight.grad.float()
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(gradient.square(), 1 - second)
        scale = (state["square"] / (1 - second ** state["step"])).sqrt_().add_(group["eps"])
        exact = weight.float() + state["lost"]
        exact.mul_(1 - group["lr"] * group["weight_decay"])
        exact.addcdiv_(state["mean"], scale, value=-group["lr"] / (1 - first ** state["step"]))
        weight.copy_(exact)
        state["lost"].copy_(exact.sub_(weight))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, which however casts every state to the precision of its weight."""
        super().load_state_dict(state_dict)
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for number, state in state_dict["state"].items():
            weight = weights[number]
            self.state[weight] = {
                name: value.to(weight.device, copy=True) if isinstance(value, Tensor) else value
                for name, value in state.items()
            }


class MuonWithAdamW(Optimizer):
    """Muon and AdamW, stepped, saved and loaded as one optimiser.

    Muon has the matrices of the layers; AdamW the embeddings, the patch embedding, norms and biases.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        muon_lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        momentum: float,
    ):
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in trained if p.ndim == 2 and "embed_tokens" not in name and "lm_head" not in name]
        inner = {id(p) for p in matrices}
        rest = [p for _, p in trained if id(p) not in inner]
        self._parts: tuple[Optimizer, Optimizer] = (
            Muon(matrices, muon_lr, momentum, weight_decay),
            AdamW(rest, lr=lr, betas=betas, weight_decay=0.0),
        )
        super().__init__([p for _, p in trained], {})
        self._share_groups()

    def _share_groups(self) -> None:
        """Exposes the parts' own groups, so that a scheduler scales each from its initial rate."""
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for part in self._parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self._parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self._parts[0].state_dict(), "adamw": self._parts[1].state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._parts[0].load_state_dict(state_dict["muon"])
        self._parts[1].load_state_dict(state_dict["adamw"])
        self._share_groups()


def build_optimiser(model: nn.Module, settings: OptimiserSettings) -> Optimizer:
    """The optimiser of all weights that are not frozen; weight decay is for matrices only."""
    if settings.muon_lr is not None:
        return MuonWithAdamW(
            model, settings.lr, settings.muon_lr, settings.betas, settings.weight_decay, settings.momentum
        )
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return ExactAdamW(groups, lr=settings.lr, betas=settings.betas)


def stage_optimiser(model: PreTrainedModel, settings: SFTSettings | GRPOSettings) -> Optimizer:
    """The optimiser of a stage, which freezes the vision tower, with its merger, or unfreezes it."""
    model.model.visual.requires_grad_(not settings.frozen_vision)
    return build_optimiser(model, settings.optimiser)
