"""The memory of a profile's runs with their largest batches, and what would have to be cut for a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..files.validation import read_json
from ..study.profiles import Profile
from ..study.variants import FORMS, TRAINED
from ..training.settings import GRPOSettings, SFTSettings
from .base_config import base_folder
from .memory import Memory, generation_memory, grpo_memory, sft_memory
from .passes import Batch

GiB = 2.0**30
MOST_IMAGES = 6
"""Of a training sample (corpora/composition)."""
QUESTION = 150
"""Tokens of the longest question, its template and the names of its images."""
RESERVE = 2 * GiB
"""Of a GPU's memory, what CUDA's context and the allocator's gaps are assumed to take."""


@dataclass(frozen=True)
class Sizes:
    """The largest samples, in tokens.

    Attributes:
        image: of a picture.
        answer: of a direct answer, by which those of CoT prompts are limited too, but for their chain.
        image_patches: of a picture, before the tower merges them.
    """

    image: int
    image_patches: int
    answer: int

    @property
    def prompt(self) -> int:
        return MOST_IMAGES * self.image + QUESTION

    @property
    def images(self) -> tuple[int, ...]:
        return (self.image_patches,) * MOST_IMAGES


def largest_sizes(profile: Profile, config: Mapping[str, Any]) -> Sizes:
    """Those of a profile: images at its bound of pixels, or the checkpoint's; answers at the evaluation's limit."""
    vision = config["vision_config"]
    pixels = profile.max_pixels or _checkpoint_pixels(profile)
    patches = pixels // vision["patch_size"] ** 2
    return Sizes(patches // vision["spatial_merge_size"] ** 2, patches, profile.evaluate.max_new_tokens["direct"])


def _checkpoint_pixels(profile: Profile) -> int:
    folder = base_folder(profile) or Path()
    settings = read_json(folder / "preprocessor_config.json")
    return int(settings.get("max_pixels") or settings["size"]["longest_edge"])


def memory_of(
    kind: str, profile: Profile, config: Mapping[str, Any], processes: int = 1, sizes: Sizes | None = None
) -> Memory:
    """Of a run of this kind (a mode of training, or `evaluate`), on each of its devices."""
    sizes = sizes or largest_sizes(profile, config)
    if kind == "evaluate":
        rows = profile.evaluate.batch
        batch = Batch((sizes.prompt,) * rows, sizes.images * rows, 0)
        return generation_memory(config, profile.dtype, profile.sft, batch, profile.evaluate.max_new_tokens["cot"])
    if kind in FORMS:
        grpo = profile.grpo
        group = FORMS[kind].group(grpo.rollouts)
        together = min(grpo.micro_batch, group)
        rows = grpo.micro_batch // together
        row = sizes.prompt + together * grpo.max_new_tokens
        scored = grpo.micro_batch * grpo.max_new_tokens
        batch = Batch((row,) * rows, sizes.images * rows, scored, dense=True)
        watched = grpo.divergence_samples * len(FORMS[kind].modes) * sizes.answer
        return grpo_memory(config, profile.dtype, grpo, batch, sizes.prompt, processes, watched)
    sft = supervised_settings(kind, profile)
    row = MOST_IMAGES * sizes.image + sft.turns * sizes.answer + QUESTION
    batch = Batch((row,) * sft.micro_batch, sizes.images * sft.micro_batch, sft.turns * sizes.answer * sft.micro_batch)
    return sft_memory(config, profile.dtype, sft, batch, processes)


def supervised_settings(kind: str, profile: Profile) -> SFTSettings:
    """Of `sft`, `cot_sft` or `sft_more`."""
    return profile.sft if kind == "sft" else profile.cot_sft


def settings_of(kind: str, profile: Profile) -> SFTSettings | GRPOSettings:
    """The settings of a training."""
    return profile.grpo if kind in FORMS else supervised_settings(kind, profile)


def with_settings(kind: str, profile: Profile, **changes: Any) -> Profile:
    """The profile with other settings of a training's stage."""
    section = "grpo" if kind in FORMS else "sft" if kind == "sft" else "cot_sft"
    return profile.model_copy(update={section: replace(getattr(profile, section), **changes)})


def cuts(kind: str, profile: Profile, config: Mapping[str, Any], available: float, processes: int = 1) -> Iterator[str]:
    """What would make a run fit in so many bytes, each by itself, with the memory that it then takes."""
    sizes = largest_sizes(profile, config)
    for name, memory in _alternatives(kind, profile, config, processes, sizes):
        if memory.total + RESERVE <= available:
            yield f"{name} fits: {memory.total / GiB:.0f} of {available / GiB:.0f} GiB"
            if name.startswith("--gpus"):  # more of them fit, too
                return


def _alternatives(
    kind: str, profile: Profile, config: Mapping[str, Any], processes: int, sizes: Sizes
) -> Iterator[tuple[str, Memory]]:
    """The first smaller value of each setting that a person may cut."""
    if kind == "evaluate":
        evaluation = profile.evaluate.model_copy(update={"batch": max(1, profile.evaluate.batch // 4)})
        smaller = profile.model_copy(update={"evaluate": evaluation})
        yield f"evaluate.batch {evaluation.batch}", memory_of(kind, smaller, config, processes, sizes)
        return
    settings = settings_of(kind, profile)
    if settings.micro_batch > 1:
        smaller = with_settings(kind, profile, micro_batch=1)
        yield "micro_batch 1", memory_of(kind, smaller, config, processes, sizes)
    yield from _smaller_samples(kind, profile, config, processes, sizes)
    for more in valid_processes(kind, profile):
        if more > processes:
            yield f"--gpus {more}", memory_of(kind, profile, config, more, sizes)


def _smaller_samples(
    kind: str, profile: Profile, config: Mapping[str, Any], processes: int, sizes: Sizes
) -> Iterator[tuple[str, Memory]]:
    if profile.max_pixels:
        half = profile.max_pixels // 2
        few = replace(sizes, image=sizes.image // 2, image_patches=sizes.image_patches // 2)
        yield f"max_pixels {half}", memory_of(kind, profile, config, processes, few)
    if kind in FORMS:
        for name in ("rollouts", "max_new_tokens"):
            half = getattr(profile.grpo, name) // 2
            smaller = with_settings(kind, profile, **{name: half})
            if name == "max_new_tokens" or half % 4 == 0:
                yield f"{name} {half}", memory_of(kind, smaller, config, processes, sizes)


def valid_processes(kind: str, profile: Profile) -> list[int]:
    """Numbers of processes among which a step's batch can be divided, of the usual ones."""
    settings = settings_of(kind, profile)
    rows = settings.prompts * settings.rollouts if isinstance(settings, GRPOSettings) else settings.conversations
    whole = settings.prompts if isinstance(settings, GRPOSettings) else settings.conversations
    return [n for n in (1, 2, 4, 8, 16, 32, 64) if rows % (n * settings.micro_batch) == 0 and whole % n == 0]


TRAININGS = tuple(TRAINED)
