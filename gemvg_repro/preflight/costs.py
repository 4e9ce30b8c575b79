"""How many FLOPs, bytes and hours do the runs of a study take? By formulas from a config alone, without torch.

FLOPs are counted as torch's FlopCounterMode counts them: two a multiply-add, attention over the whole square.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

from ..study.devices import Device
from ..study.profiles import Profile
from ..study.variants import FORMS
from ..training.settings import GRPOSettings, SFTSettings

KEPT_CHECKPOINTS = 3
"""Two sealed ones, and the one that is being written."""
WRITE_RATE = 1.0e9
"""Bytes a second that a checkpoint is assumed to be written and hashed at."""
TOKEN_S = 0.028
"""Seconds that a decoding step takes at least: some 1,000 kernel launches."""
IDLE = 1.1
"""Of a training's time, what its steps do not explain: loading, logs, the KL that is watched."""


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a Qwen2-VL, from its config."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool
    depth: int
    tower: int
    tower_mlp: int
    patch_values: int
    merge: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Of config.json: flat, as the hub's of 2024 is, or with a `text_config`."""
        text, vision = config.get("text_config") or config, config["vision_config"]
        channels = vision.get("in_channels", vision.get("in_chans", 3))
        return cls(
            hidden=text["hidden_size"],
            intermediate=text["intermediate_size"],
            layers=text["num_hidden_layers"],
            heads=text["num_attention_heads"],
            kv_heads=text["num_key_value_heads"],
            vocabulary=text["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", False)),
            depth=vision["depth"],
            tower=vision["embed_dim"],
            tower_mlp=int(vision["embed_dim"] * vision["mlp_ratio"]),
            patch_values=channels * vision["temporal_patch_size"] * vision["patch_size"] ** 2,
            merge=vision["spatial_merge_size"] ** 2,
        )

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @property
    def language_matrices(self) -> int:
        """Weights of the layers' matrices, which each token passes through; norms and biases are few beside them."""
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.kv_heads * self.head_size
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def tower_matrices(self) -> int:
        """Weights of the vision tower's matrices, which each patch passes through."""
        block = 4 * self.tower**2 + 2 * self.tower * self.tower_mlp
        return self.patch_values * self.tower + self.depth * block

    @property
    def merger_matrices(self) -> int:
        """Weights of the merger's, which each image token passes through."""
        wide = self.tower * self.merge
        return wide * (wide + self.hidden)

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def weights(self) -> int:
        """All weights, but for norms and biases."""
        embeddings = self.embedding * (1 if self.tied else 2)
        return self.language_matrices + self.tower_matrices + self.merger_matrices + embeddings

    def trained(self, settings: SFTSettings | GRPOSettings) -> int:
        """Those that are trained, or with LoRA the weights of its matrices."""
        if settings.lora:
            return self.layers * settings.lora.rank * sum(sum(self._sides[name]) for name in settings.lora.targets)
        return self.weights - (self.tower_matrices + self.merger_matrices if settings.frozen_vision else 0)

    @property
    def _sides(self) -> dict[str, tuple[int, int]]:
        """Columns and rows of a layer's matrices, by name."""
        keys = self.kv_heads * self.head_size
        attention = {"q_proj": self.hidden, "k_proj": keys, "v_proj": keys, "o_proj": self.hidden}
        mlp = {"gate_proj": self.intermediate, "up_proj": self.intermediate}
        wide = {name: (self.hidden, rows) for name, rows in {**attention, **mlp}.items()}
        return {**wide, "down_proj": (self.intermediate, self.hidden)}

    def language_flops(self, tokens: int, attended: int) -> int:
        """Of the layers' forward pass; `attended` pairs of a query and a key."""
        return 2 * self.language_matrices * tokens + 4 * attended * self.hidden * self.layers

    def tower_flops(self, images: Sequence[int]) -> int:
        """Of the tower's forward pass on images of so many patches each."""
        attention = 4 * sum(n * n for n in images) * self.tower * self.depth
        return 2 * sum(images) * (self.tower_matrices + self.merger_matrices // self.merge) + attention

    def head_flops(self, tokens: int) -> int:
        """Of the LM head's forward pass."""
        return 2 * self.embedding * tokens

    def kv_bytes(self, size: int) -> int:
        """Of a token's keys and values, in numbers of `size` bytes."""
        return 2 * self.layers * self.kv_heads * self.head_size * size


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
    extra = 2 * one.attended * shape.hidden * shape.layers
    tower = shape.tower_flops(one.images)
    if not settings.frozen_vision and not settings.lora:
        pairs = 2 * sum(n * n for n in one.images) * shape.tower * shape.depth
        pixels = 2 * sum(one.images) * shape.patch_values * shape.tower  # which have no gradient
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
    prefill = shape.language_flops(sum(rows), sum(n * n for n in rows)) + shape.tower_flops(_images(shape, prompts))
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
    return [ASSUMED.image * shape.merge] * round(ASSUMED.images * conversations)
