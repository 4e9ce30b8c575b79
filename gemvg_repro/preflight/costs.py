"""How many FLOPs, bytes and hours do the runs of a study take? By formulas from a config alone, without torch.

FLOPs are counted as torch's FlopCounterMode counts them: two a multiply-add, attention over the whole square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Self

from ..study.devices import Device
from ..study.profiles import Profile
from ..study.variants import FORMS
from ..training.settings import GRPOSettings, SFTSettings
from .shapes import ModelShape

KEPT_CHECKPOINTS = 3
"""Two sealed ones, and the one that is being written."""
WRITE_RATE = 1.0e9
"""Bytes a second that a checkpoint is assumed to be written and hashed at."""
TOKEN_S = 0.028
"""Seconds that a decoding step takes at least: some 1,000 kernel launches."""
IDLE = 1.1
"""Of a training's time, what its steps do not explain: loading, logs, the KL that is watched."""


@dataclass(frozen=True)
class Pass:
    """What goes through the model in a step: its tokens, the pairs of query and key, the images and their patches, and
    the tokens that are scored."""

    tokens: int
    attended: int
    images: Sequence[int]
    scored: int

    @classmethod
    def of_rows(cls, rows: Sequence[int], images: Sequence[int], scored: int) -> Self:
        """Rows of so many tokens each, which attend within themselves."""
        return cls(sum(rows), sum(n * n for n in rows), images, scored)


def step_flops(shape: ModelShape, one: Pass, settings: SFTSettings | GRPOSettings) -> int:
    """FLOPs of a training step: forward, backward (twice as many, 2.5 times in attention, which recomputes its
    scores), and a second forward pass where activations are checkpointed, but for the last matrix of each layer, whose
    product nothing backwards needs. TRL's head always computes its logits twice.
    """
    forward = 2 if settings.gradient_checkpointing else 1
    backward = 1 if settings.lora else 2  # of frozen weights no gradient is needed
    language = (forward + backward) * shape.language_flops(one.tokens, one.attended)
    if settings.gradient_checkpointing:
        language -= 2 * one.tokens * shape.layers * shape.intermediate * shape.hidden
    extra = shape.attention_flops(one.attended) // 2
    tower = shape.tower.flops(one.images)
    if not settings.frozen_vision and not settings.lora:
        pairs = shape.tower.attention_flops(one.images) // 2
        pixels = 2 * sum(one.images) * shape.tower.patch_values * shape.tower.width  # which have no gradient
        tower = (forward + 2) * tower + pairs - pixels
    return language + extra + tower + 4 * shape.head_flops(one.scored)


@dataclass(frozen=True)
class Workload:
    """Mean sizes that hours are reckoned with, in tokens, where the data is not at hand; all of them assumed.

    Attributes:
        images, image: how many a conversation has, and the tokens of each.
        conversation: the tokens of a conversation of SFT, of which `labelled` are answers.
        prompt, completion: of GRPO; `longest` of the completions of a batch.
        evaluated: the prompts of an evaluation, in both modes.
    """

    images: float = 3.3
    image: int = 480
    conversation: int = 2000
    labelled: int = 300
    prompt: int = 1650
    completion: int = 200
    longest: int = 512
    evaluated: int = 10_800


ASSUMED = Workload()


@dataclass(frozen=True)
class Expected:
    """What a run is expected to take.

    Attributes:
        hours: of the devices' time, all together, at their assumed utilisation; the host is assumed to keep up.
        disk: bytes at its peak: checkpoints and weights.
        save_s: seconds of a checkpoint.
    """

    hours: float
    disk: float
    save_s: float


def expected(
    kind: str, profile: Profile, shape: ModelShape, device: Device, processes: int, steps: int = 0
) -> Expected:
    """What a run of this kind (`data`, `evaluate`, `report` or a mode) takes; `steps` 0 are the profile's."""
    if kind in ("data", "report"):
        return Expected(0.0, 0.0, 0.0)
    size = 2 if profile.dtype == "bfloat16" else 4
    if kind == "evaluate":
        batches = ceil(ASSUMED.evaluated / profile.evaluate.batch)
        limit = max(profile.evaluate.max_new_tokens.values())
        seconds = batches * generation_s(shape, size, device, profile.evaluate.batch, profile.evaluate.batch, limit)
        return Expected(processes * seconds / 3600, 0.0, 0.0)
    settings: SFTSettings | GRPOSettings
    if kind in FORMS:
        settings = profile.grpo.for_steps(steps)
        step = grpo_step_s(shape, size, settings, device, processes)
        step += _watched_s(shape, size, settings, device, len(FORMS[kind].modes)) / settings.steps
    else:
        settings = _supervised(kind, profile).for_steps(steps)
        step = sft_step_s(shape, settings, device, processes)
    written = checkpoint_bytes(shape, size, settings)
    save = written / WRITE_RATE
    seconds = IDLE * settings.steps * step + settings.steps / settings.save_every * save
    return Expected(processes * seconds / 3600, KEPT_CHECKPOINTS * written + size * shape.weights, save)


def checkpoint_bytes(shape: ModelShape, size: int, settings: SFTSettings | GRPOSettings) -> float:
    """Weights, and what the optimiser keeps: two moments in fp32, and in half precision a remainder."""
    moments = 8 if settings.optimiser.muon_lr is None else 4
    remainder = size if settings.optimiser.muon_lr is None else 0
    trained = shape.trained(settings)
    return size * (trained if settings.lora else shape.weights) + (moments + remainder) * trained


def sft_step_s(shape: ModelShape, settings: SFTSettings, device: Device, processes: int) -> float:
    """Seconds of a step of SFT."""
    rows = [ASSUMED.conversation] * settings.conversations
    one = Pass.of_rows(rows, _images(shape, settings.conversations), ASSUMED.labelled * len(rows))
    return step_flops(shape, one, settings) / (processes * device.flops * device.utilisation)


def grpo_step_s(shape: ModelShape, size: int, settings: GRPOSettings, device: Device, processes: int) -> float:
    """Seconds of a step of GRPO: generation, then training on packed rows."""
    count = settings.prompts * settings.rollouts
    packed = count // settings.micro_batch  # each prompt is computed once a micro-batch
    row = ASSUMED.prompt + settings.micro_batch * ASSUMED.completion
    one = Pass.of_rows([row] * packed, _images(shape, packed), ASSUMED.completion * count)
    training = settings.iterations * step_flops(shape, one, settings)
    generation = generation_s(
        shape, size, device, ceil(settings.prompts / processes), ceil(count / processes), ASSUMED.longest
    )
    return generation / settings.iterations + training / (processes * device.flops * device.utilisation)


def generation_s(shape: ModelShape, size: int, device: Device, prompts: int, completions: int, longest: int) -> float:
    """Seconds of a batch's generation: prefill, then as many steps as the longest completion has tokens, each of which
    reads the weights and the cache."""
    rows = [ASSUMED.prompt] * prompts
    prefill = shape.language_flops(sum(rows), sum(n * n for n in rows)) + shape.tower.flops(_images(shape, prompts))
    cache = shape.kv_bytes(size) * (sum(rows) + completions * longest / 2)
    token = max(TOKEN_S, (size * shape.weights + cache) / device.bandwidth)
    return prefill / (device.flops * device.utilisation) + longest * token


def _watched_s(shape: ModelShape, size: int, settings: GRPOSettings, device: Device, modes: int) -> float:
    """Seconds of drawing the rewards that are watched, before and after."""
    batches = ceil(settings.watched_samples * modes / settings.watched_batch)
    limit = max(settings.watched_new_tokens.values())
    batch = settings.watched_batch
    return 2 * batches * generation_s(shape, size, device, batch, batch, min(limit, ASSUMED.longest))


def _supervised(kind: str, profile: Profile) -> SFTSettings:
    """The settings of a supervised stage; `sft_more` takes the FLOPs of GRPO (training/compute_matching.py)."""
    if kind != "sft_more":
        return profile.sft if kind == "sft" else profile.cot_sft
    sft, grpo = profile.cot_sft, profile.grpo
    tokens = grpo.steps * grpo.prompts * grpo.rollouts * (ASSUMED.prompt + ASSUMED.completion)
    per_step = sft.conversations * ASSUMED.conversation * sft.flops_per_token
    return sft.for_steps(ceil(tokens * grpo.flops_per_token / per_step))


def _images(shape: ModelShape, conversations: int) -> list[int]:
    """The patches of each image of so many conversations."""
    return [ASSUMED.image * shape.tower.merge] * round(ASSUMED.images * conversations)
