"""The optimisers of a training: AdamW that is exact in half precision, and Muon for a small model's matrices.

Several processes share out the weights, each with its state (ZeRO stage 1, arXiv 1910.02054, section 5.1), by torch's
ZeroRedundancyOptimizer: each updates its own and sends them to the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import AdamW, Optimizer
from transformers import PreTrainedModel

from . import lora, processes
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

    def __init__(self, matrices: Iterable[Any], lr: float, momentum: float, weight_decay: float):
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


class SharedOut(ZeroRedundancyOptimizer):
    """An optimiser of which each process has the state of its own share of the weights, all of about the same size.

    torch's `state_dict` would gather the states of all processes in one. `state_by_weight` has this process's; here are
    the groups alone, which is all that accelerate needs of it.
    """

    def state_dict(self) -> dict[str, Any]:
        return Optimizer.state_dict(self)


def _shared_out(kind: type[Optimizer], weights: list[Any], **settings: Any) -> Optimizer:
    """The optimiser, shared out among the processes if there are several."""
    return kind(weights, **settings) if processes.count() == 1 else SharedOut(weights, kind, **settings)


def _parts(optimiser: Optimizer) -> Iterator[Optimizer]:
    """The optimisers of this process that hold a state."""
    for part in getattr(optimiser, "parts", (optimiser,)):
        yield part.optim if isinstance(part, SharedOut) else part


def state_by_weight(model: nn.Module, optimiser: Optimizer) -> dict[str, dict[str, Any]]:
    """The state of the weights that this process updates, by their name in the model."""
    state = {weight: of_weight for part in _parts(optimiser) for weight, of_weight in part.state.items()}
    return {name: dict(state[weight]) for name, weight in model.named_parameters() if weight in state}


def load_state_by_weight(model: nn.Module, optimiser: Optimizer, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Sets the state of the weights that this process updates, from that of all by their names, in its own precision.

    A number that torch's AdamW has as a tensor stays on the CPU.
    """
    names = {weight: name for name, weight in model.named_parameters()}
    for part in _parts(optimiser):
        for weight in (weight for group in part.param_groups for weight in group["params"]):
            part.state[weight] = {
                key: value.to(weight.device if value.ndim else "cpu", copy=True) if isinstance(value, Tensor) else value
                for key, value in states.get(names[weight], {}).items()
            }


class MuonWithAdamW(Optimizer):
    """Muon and AdamW, stepped as one optimiser.

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
        self.parts = [_shared_out(Muon, matrices, lr=muon_lr, momentum=momentum, weight_decay=weight_decay)]
        if rest:  # LoRA trains matrices only
            self.parts.append(_shared_out(AdamW, rest, lr=lr, betas=betas, weight_decay=0.0))
        super().__init__([p for _, p in trained], {})
        # The parts' own groups, so that a scheduler scales each from its initial rate.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


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
    return _shared_out(ExactAdamW, groups, lr=settings.lr, betas=settings.betas)


def stage_optimiser(model: PreTrainedModel, settings: SFTSettings | GRPOSettings) -> Optimizer:
    """The optimiser of a stage, which freezes the vision tower, with its merger, or not; LoRA has frozen all."""
    if not lora.is_injected(model):
        model.model.visual.requires_grad_(not settings.frozen_vision)
    return build_optimiser(model, settings.optimiser)
