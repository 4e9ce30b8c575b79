"""The prompts that GRPO takes rollouts of at a time: each is tokenised, and each image decoded and patched, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypedDict

from PIL import Image
from torch.utils.data import Sampler

from ..grounding.prompts import question
from ..grounding.samples import Mode, Sample
from ..models.generation import prompt_text
from ..models.images import ImageInputs, image_inputs, token_counts, with_image_tokens
from ..models.processor import ImageOnlyProcessor


@dataclass(frozen=True)
class PromptRow:
    """A sample, its index among all, and the prompting mode."""

    index: int
    sample: Sample
    mode: Mode

    @property
    def trl_row(self) -> dict[str, Any]:
        """The row as TRL's rewards receive it; without images."""
        prompt = [{"role": "user", "content": question(self.sample, self.mode)}]
        return {"prompt": prompt, "index": self.index, "mode": self.mode}


class GenerationBatch(TypedDict):
    """Rollouts and their prompts, each prompt once; the rollouts of a prompt stand together.

    rows: of each rollout, see PromptRow. prompt_of: the number of each rollout's prompt. prompt_ids: token ids of each
    prompt, with all image tokens. images: those of all prompts, in order. images_of: the numbers of each prompt's.
    """

    rows: list[dict[str, Any]]
    prompt_of: list[int]
    prompt_ids: list[list[int]]
    images: ImageInputs
    images_of: list[list[int]]


class PromptCollator:
    """Collates the rows of a batch that TRL generates from; {} for those that it repeats, see OncePerGeneration."""

    def __init__(self, processor: ImageOnlyProcessor):
        self._processor = processor

    def __call__(self, rows: Sequence[PromptRow | None]) -> GenerationBatch | dict[str, Any]:
        rollouts = [row for row in rows if row is not None]
        if not rollouts:
            return {}
        runs = [(row, len(list(run))) for row, run in groupby(rollouts)]
        images = {row.index: [Image.fromarray(p.pixels()) for p in row.sample.pictures] for row, _ in runs}
        inputs = image_inputs(self._processor.image_processor, [i for row, _ in runs for i in images[row.index]])
        texts = [prompt_text(self._processor, row.sample, row.mode) for row, _ in runs]
        sizes = iter(token_counts(inputs, self._processor.image_processor.merge_size))
        image_token = self._processor.image_token_id
        numbers = iter(range(len(inputs["image_grid_thw"])))
        return {
            "rows": [row.trl_row for row in rollouts],
            "prompt_of": [prompt for prompt, (_, count) in enumerate(runs) for _ in range(count)],
            "prompt_ids": [
                with_image_tokens(ids, image_token, sizes) for ids in self._processor.tokenizer(texts)["input_ids"]
            ],
            "images": inputs,
            "images_of": [[next(numbers) for _ in row.sample.pictures] for row, _ in runs],
        }


class OncePerGeneration(Sampler[Any]):
    """TRL's RepeatSampler, with None for a batch that was generated from: TRL repeats it for every micro-batch."""

    def __init__(self, repeating: Any):
        self._repeating = repeating

    def __len__(self) -> int:
        return len(self._repeating)

    def __iter__(self) -> Iterator[int | None]:
        batch = self._repeating.batch_size * self._repeating.mini_repeat_count
        period = batch * self._repeating.repeat_count
        return (index if n % period < batch else None for n, index in enumerate(self._repeating))
