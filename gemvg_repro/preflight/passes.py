"""The bytes of weights, activations and an optimiser's step, in the real classes.

Weights are counted on the meta device. Activations are those of the real modules on tensors without memory
(FakeTensorMode), with one layer and with two: each further layer adds as much as the second does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from trl.kernels import ChunkedLogProbFunction

from ..models.families import family_of
from ..models.packing import remove_padding
from ..models.vision import batch_vision_tower, is_trained
from ..training.lora import inject
from ..training.optimisers import build_optimiser
from ..training.settings import GRPOSettings, LoRASettings, OptimiserSettings, SFTSettings
from .peak import PeakBytes

Settings = SFTSettings | GRPOSettings
Measure = Callable[[PreTrainedModel], float]


@dataclass(frozen=True)
class Trained:
    """A model and how it is trained, as far as that moves its memory; `config` is its config.json."""

    config: str
    dtype: str
    frozen_vision: bool
    checkpointing: bool
    optimiser: OptimiserSettings
    lora: LoRASettings | None

    @classmethod
    def of(cls, config: Mapping[str, Any], dtype: str, settings: Settings) -> Self:
        text = json.dumps(dict(config), sort_keys=True)
        checkpointing, optimiser = settings.gradient_checkpointing, settings.optimiser
        return cls(text, dtype, settings.frozen_vision, checkpointing, optimiser, settings.lora)

    def freeze(self, model: PreTrainedModel) -> None:
        """Leaves of a model to be trained what a training leaves."""
        model.model.visual.requires_grad_(not self.frozen_vision)
        if self.lora:
            inject(model, self.lora, seed=0)


@dataclass(frozen=True)
class Batch:
    """What passes through the model at once.

    Attributes:
        rows: the tokens of each row.
        images: the patches of each image.
        scored: the tokens with a label.
        dense: whether rows attend by a mask, as packed completions do.

    """

    rows: tuple[int, ...]
    images: tuple[int, ...]
    scored: int
    dense: bool = False

    @property
    def longest(self) -> int:
        return max(self.rows)


@cache
def weight_bytes(trained: Trained) -> tuple[float, float]:
    """Bytes of weights and of gradients."""
    with torch.device("meta"):
        model = _model(read_config(json.loads(trained.config)), trained.dtype)
        trained.freeze(model)
    weights = sum(w.nbytes for w in model.parameters())
    return float(weights), float(sum(w.nbytes for w in model.parameters() if w.requires_grad))


@cache
def activation_bytes(trained: Trained, batch: Batch) -> float:
    return _by_layers(trained, lambda model: _forward_backward(model, batch))


@cache
def optimiser_bytes(trained: Trained) -> tuple[float, float]:
    """Bytes that the optimiser keeps, and those that a step needs beside them."""
    kept = _by_layers(trained, lambda model: _optimiser_step(model, trained.optimiser)[0])
    return kept, _by_layers(trained, lambda model: _optimiser_step(model, trained.optimiser)[1])


@cache
def prefill_bytes(trained: Trained, batch: Batch) -> float:
    return _by_layers(trained, lambda model: _prefilled(model, batch))


def read_config(config: Mapping[str, Any]) -> PreTrainedConfig:
    return family_of(config).config_class.from_dict(deepcopy(dict(config)))


def _model(config: PreTrainedConfig, dtype: str) -> PreTrainedModel:
    return family_of(config).model_class._from_config(config, dtype=getattr(torch, dtype))


def _by_layers(trained: Trained, measure: Measure) -> float:
    """What `measure` gives for the whole model, from what it gives with one layer and with two, and one block of the
    vision tower and two."""
    whole = read_config(json.loads(trained.config))
    layers, depth = whole.text_config.num_hidden_layers, whole.vision_config.depth
    one, two, deeper = (_with_layers(trained, measure, *each) for each in ((1, 1), (2, 1), (1, 2)))
    return float(one + (layers - 1) * (two - one) + (depth - 1) * (deeper - one))


def _with_layers(trained: Trained, measure: Measure, layers: int, depth: int) -> float:
    short = read_config(json.loads(trained.config))
    text = short.text_config
    text.num_hidden_layers = layers
    if hasattr(text, "layer_types"):
        text.layer_types = text.layer_types[:layers]
    short.vision_config.depth = depth
    with torch.device("meta"):
        model = _model(short, trained.dtype)
        trained.freeze(model)
    with FakeTensorMode(allow_non_fake_inputs=True):
        _on_the_cpu(model)
        batch_vision_tower(model)
        remove_padding(model)
        if trained.checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        return float(measure(model.train()))


def _on_the_cpu(model: PreTrainedModel) -> None:
    """Moves a model from the meta device to the CPU of a FakeTensorMode, which torch's `to` cannot."""
    moved: dict[int, Any] = {}
    for module in model.modules():
        for name, weights in module._parameters.items():
            if weights is not None and id(weights) not in moved:
                moved[id(weights)] = torch.nn.Parameter(torch.empty_like(weights, device="cpu"), weights.requires_grad)
            module._parameters[name] = None if weights is None else moved[id(weights)]
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else torch.empty_like(buffer, device="cpu")


def _tensors(model: torch.nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _forward_backward(model: PreTrainedModel, batch: Batch) -> float:
    """Bytes at the peak of a forward and backward pass beside weights and gradients, which are there from the pass
    before."""
    with PeakBytes(_tensors(model)) as memory:
        torch.autograd.backward(_loss(model, batch))
        gradients, memory.peak = memory.now, 0
        torch.autograd.backward(_loss(model, batch))
    return float(memory.peak - gradients)


def _optimiser_step(model: PreTrainedModel, settings: OptimiserSettings) -> tuple[int, int]:
    """Bytes that the optimiser keeps, and those that a step needs beside them."""
    optimiser = build_optimiser(model, settings)
    gradients = []
    for weights in model.parameters():
        if weights.requires_grad:
            weights.grad = torch.empty_like(weights)
            gradients.append(weights.grad)
    with PeakBytes([*_tensors(model), *gradients]) as memory:
        optimiser.step()
        kept, memory.peak = memory.now, 0
        optimiser.step()
    return kept, memory.peak - kept


@torch.no_grad()
def _prefilled(model: PreTrainedModel, batch: Batch) -> float:
    """Bytes at the peak of a pass over the prompts, with the keys and values that it leaves."""
    model.eval()
    with PeakBytes(_tensors(model)) as memory:
        cache = DynamicCache(config=model.config)
        length = (len(batch.rows), batch.longest)
        no_mask = family_of(model.config).attention_mask(None)
        _hidden_states(model, batch, length, attention_mask=no_mask, past_key_values=cache)
    return float(memory.peak)


def _loss(model: PreTrainedModel, batch: Batch) -> Tensor:
    """A sum over the scored tokens, through TRL's fused LM head."""
    family = family_of(model.config)
    if batch.dense:
        length = (len(batch.rows), batch.longest)
        mask = torch.empty(len(batch.rows), 1, batch.longest, batch.longest, dtype=torch.bool)
        states = _hidden_states(model, batch, length, attention_mask=family.attention_mask(mask)).flatten(0, 1)
    else:
        packed = {"attention_mask": family.attention_mask(None), "row_lengths": list(batch.rows)}
        states = _hidden_states(model, batch, (1, sum(batch.rows)), **packed)[0]
    weight = model.lm_head.weight
    scored = states[torch.zeros(batch.scored, dtype=torch.long)]
    targets = torch.zeros(batch.scored, dtype=torch.long)
    outputs = ("log_probs", "entropy", "is_top1")
    loss = ChunkedLogProbFunction.apply(scored, weight, None, targets, 1.0, len(weight), None, 1.0, outputs)
    summed: Tensor = loss[0].sum()
    return summed


def _hidden_states(model: PreTrainedModel, batch: Batch, length: tuple[int, int], **attention: Any) -> Tensor:
    """The forward of transformers' model, whose steps depend on the content of tensors, by its modules."""
    language, visual = model.model.language_model, model.model.visual
    embedded = language.embed_tokens(torch.zeros(length, dtype=torch.long))
    if batch.images:
        with torch.set_grad_enabled(torch.is_grad_enabled() and is_trained(visual)):
            hidden = _image_features(visual, model.config.vision_config, batch.images)
        is_image = torch.zeros(*length, 1, dtype=torch.bool).expand_as(embedded)
        embedded = embedded.masked_scatter(is_image, hidden)
    positions = torch.zeros(3, *length, dtype=torch.long)
    output = language(
        inputs_embeds=embedded, position_ids=positions, use_cache="past_key_values" in attention, **attention
    )
    states: Tensor = output.last_hidden_state
    return states


def _image_features(visual: Any, tower: Any, images: Sequence[int]) -> Tensor:
    """The tokens of images of so many patches each, by the tower's modules. Attention is to whole images: within
    windows it takes as many bytes. Features that go to later layers (Qwen3-VL) are made, but not added there."""
    hidden = visual.patch_embed(torch.empty(sum(images), patch_values(tower)))
    angles = torch.empty(sum(images), hidden.shape[1] // tower.num_heads)
    ends = np.cumsum([0, *images])  # no tensor: the tower reads its content
    for block in visual.blocks:
        hidden = block(hidden, cu_seqlens=ends, position_embeddings=(angles, angles))
    passed_on = [merger(hidden) for merger in getattr(visual, "deepstack_merger_list", ())]
    tokens: Tensor = sum(passed_on, visual.merger(hidden))
    return tokens


def patch_values(tower: Any) -> int:
    return int(tower.in_channels * tower.temporal_patch_size * tower.patch_size**2)
