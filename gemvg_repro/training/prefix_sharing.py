"""What do the rollouts of a prompt share? Its tokens and pictures, its reading, and its part of the forward pass.

TRL's GRPOTrainer (1.16) repeats the prompt for every rollout wherever it goes. The numbers are those of TRL's own
methods, but for rounding and for the order in which rollouts are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from ..models.decoding import Speech, Wanted, say
from ..models.vision import first_equal
from .packed_rows import Branches


class SharingGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer, whose rollouts share their prompt."""

    _buffered_inputs: list[dict[str, Any]] | None
    _firsts: list[int]
    """Of the batch in generation: the rows that begin a run of equal prompts."""

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], list[Any] | None, dict[str, Any]]:
        """As TRL's, but only what differs is tokenised, and the multimodal fields are those of `_firsts` alone."""
        self._firsts = [i for i, prompt in enumerate(prompts) if i == 0 or prompt != prompts[i - 1]]
        ids, images, fields = super()._tokenize_prompts([prompts[i] for i in self._firsts])
        run = [number for number, count in enumerate(self._copies(len(prompts))) for _ in range(count)]
        return [ids[i] for i in run], None if images is None else [images[i] for i in run], fields

    def _copies(self, rows: int) -> list[int]:
        """The lengths of the runs."""
        return [b - a for a, b in zip(self._firsts, [*self._firsts[1:], rows], strict=True)]

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: dict[str, Any], *args: Any, **kwargs: Any
    ) -> tuple[list[list[int]], None]:
        pictures: dict[str, Tensor] = {
            name: torch.as_tensor(multimodal_fields[name])
            for name in ("pixel_values", "image_grid_thw")
            if name in multimodal_fields
        }
        speech = Speech(tuple(self.eos_token_ids), self.temperature)
        wanted = [[Wanted(self.max_completion_length)] * copies for copies in self._copies(len(prompt_ids))]
        with unwrap_model_for_generation(
            self.model_wrapped,
            self.accelerator,
            gather_deepspeed3_params=self.args.ds3_gather_for_generation,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        ) as model:
            return say(model, [prompt_ids[i] for i in self._firsts], pictures, wanted, speech), None

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """As TRL's, but micro-batches keep the rollouts of a prompt together, those of similar length beside each
        other; TRL shuffles them. Over an optimiser step the sum is the same."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        steps = self.args.steps_per_generation
        if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
            made = split_pixel_values_by_grid(self._generate_and_score_completions(generation_batch))
            batches = split_tensor_dict(_by_length(made, self.num_generations), steps)
            self._buffered_inputs = [unsplit_pixel_values_by_grid(batch) for batch in batches]
        return self._buffered_inputs[self._step % steps]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        num_images: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        """As TRL's, (rows, logits_to_keep) each, with Branches in place of rows."""
        told = []
        pixels, grids = _by_row(pixel_values, image_grid_thw, num_images, len(input_ids))
        size = batch_size or len(input_ids)
        for start in range(0, len(input_ids), size):
            part = slice(start, start + size)
            told.append(
                self._score(
                    model, input_ids[part], attention_mask[part].bool(), logits_to_keep, pixels[part], grids[part]
                )
            )
        log_probs, entropies = (torch.cat(one) for one in zip(*told, strict=True))
        return log_probs, entropies if compute_entropy else None, None

    def _score(
        self, model: Any, ids: Tensor, mask: Tensor, answered: int, pixels: list[Tensor], grids: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy of each token of the answers, 0 behind their ends."""
        said = mask[:, -answered:]
        prompts = [row[shown] for row, shown in zip(ids[:, :-answered], mask[:, :-answered], strict=True)]
        asked, firsts = first_equal(
            [(prompt, *picture) for prompt, *picture in zip(prompts, pixels, grids, strict=True)]
        )
        inner = self.accelerator.unwrap_model(model).model
        image_token = inner.config.image_token_id
        positions = [
            inner.get_rope_index(
                prompts[i][None], (prompts[i] == image_token).int()[None], grids[i] if len(grids[i]) else None
            )[0][:, 0]
            for i in firsts
        ]
        rows = Branches.of(
            [prompts[i] for i in firsts],
            positions,
            [row[shown] for row, shown in zip(ids[:, -answered:], said, strict=True)],
            asked,
            self._tokenizer.pad_token_id,
            image_token,
        )
        pictures = {}
        if any(len(grids[i]) for i in firsts):
            pictures["pixel_values"] = torch.cat([pixels[i] for i in firsts])
            pictures["image_grid_thw"] = torch.cat([grids[i] for i in firsts])
        with self.accelerator.autocast():
            scored = model(
                input_ids=rows.input_ids,
                position_ids=rows.position_ids,
                attention_mask={"full_attention": rows.visible},
                shift_labels=rows.targets,
                fused_lm_head=True,
                **pictures,
            )
        log_probs, entropy = (
            x.new_zeros(said.shape).masked_scatter(said, x.flatten()[rows.places])
            for x in (scored.log_probs, scored.entropy)
        )
        return log_probs, entropy


def _by_row(
    pixels: Tensor | None, grids: Tensor | None, counts: Sequence[int] | None, rows: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The patches and the grids of each row's pictures."""
    if pixels is None or grids is None or counts is None:
        nothing = [torch.empty(0, 3, dtype=torch.long)] * rows
        return nothing, nothing
    by_row = torch.split(grids, list(counts))
    patches = [int(grid.prod(-1).sum()) for grid in by_row]
    return list(torch.split(pixels, patches)), list(by_row)


def _by_length(batch: dict[str, Any], rollouts: int) -> dict[str, Any]:
    """The same rollouts, group by group, from the longest row of Branches to the shortest."""
    length = batch["completion_mask"].view(-1, rollouts, batch["completion_mask"].shape[1]).sum(dim=(1, 2))
    length = length + batch["prompt_mask"].sum(dim=1)[::rollouts]
    order = length.argsort(descending=True, stable=True)
    rows = (order[:, None] * rollouts + torch.arange(rollouts, device=order.device)).flatten()

    def ordered(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[rows] if value.ndim else value
        return None if value is None else [value[i] for i in rows.tolist()]

    return {name: ordered(value) for name, value in batch.items()}
