"""Shared-prefix GRPO: tokenises, prefills and scores each prompt once for all of its rollouts.

TRL's GRPOTrainer (1.16) repeats the prompt for every rollout throughout. Sharing it in the forward pass is that of
PrefixGrouper (arXiv 2506.05433). Results equal TRL's own but for rounding and for the order in which rollouts are
sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from ..models.decoding import Request, SamplingParams, generate
from ..models.vision import first_equal
from .packed_rows import PackedRows


class SharedPrefixGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer, with the prompt shared by its rollouts, and without forward passes that give no gradient."""

    skips = True
    """Whether the groups whose rewards are equal, which have no advantage, are left out of the forward pass."""

    _buffered_inputs: list[dict[str, Any]] | None
    _scored_rows: Tensor | None = None
    """Of the micro-batch whose loss is computed: the rows that pass through the model, in order; None: all."""

    _first_rows: list[int]
    """Of the batch in generation: the first row of each run of equal prompts."""

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], list[Any] | None, dict[str, Any]]:
        """As TRL's, but of equal prompts only the first is tokenised, and multimodal fields are of `_first_rows`."""
        self._first_rows = [i for i, prompt in enumerate(prompts) if i == 0 or prompt != prompts[i - 1]]
        ids, images, fields = super()._tokenize_prompts([prompts[i] for i in self._first_rows])
        run = [number for number, count in enumerate(self._run_lengths(len(prompts))) for _ in range(count)]
        return [ids[i] for i in run], None if images is None else [images[i] for i in run], fields

    def _run_lengths(self, rows: int) -> list[int]:
        """How many rows each run of equal prompts has."""
        return [end - start for start, end in zip(self._first_rows, [*self._first_rows[1:], rows], strict=True)]

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: dict[str, Any], *args: Any, **kwargs: Any
    ) -> tuple[list[list[int]], None]:
        """As TRL's, by our own decoding, which prefills each prompt once."""
        features: dict[str, Tensor] = {
            name: torch.as_tensor(multimodal_fields[name])
            for name in ("pixel_values", "image_grid_thw")
            if name in multimodal_fields
        }
        sampling = SamplingParams(tuple(self.eos_token_ids), self.temperature)
        requests = [[Request(self.max_completion_length)] * count for count in self._run_lengths(len(prompt_ids))]
        with unwrap_model_for_generation(
            self.model_wrapped,
            self.accelerator,
            gather_deepspeed3_params=self.args.ds3_gather_for_generation,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        ) as model:
            return generate(model, [prompt_ids[i] for i in self._first_rows], features, requests, sampling), None

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """As TRL's, which shuffles rollouts into micro-batches; here those of a prompt stay together, beside others of
        similar length. Over an optimiser step the sum is the same."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        steps = self.args.steps_per_generation
        if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
            rollouts = split_pixel_values_by_grid(self._generate_and_score_completions(generation_batch))
            rollouts["varied"] = self._varied(rollouts["advantages"])
            rows = _by_length(rollouts, self.num_generations)
            batches = split_tensor_dict({name: _taken(value, rows) for name, value in rollouts.items()}, steps)
            self._buffered_inputs = [unsplit_pixel_values_by_grid(batch) for batch in batches]
        return self._buffered_inputs[self._step % steps]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """As TRL's, by a forward pass of the rows of `varied` groups only; of all where there is a KL penalty."""
        if self.beta == 0 and "varied" in inputs:
            rows = inputs["varied"].nonzero()[:, 0]
            self._scored_rows = rows if len(rows) else rows.new_zeros(1)  # a gradient of 0 is one, too
        try:
            loss: Tensor = super()._compute_loss(model, inputs)
            return loss
        finally:
            self._scored_rows = None

    def _varied(self, advantages: Tensor) -> Tensor:
        """(rows,), whether the rewards of a row's group differ by more than rounding; all, unless the trainer `skips`.

        Equal rewards may have a mean that is not quite the same, and TRL divides by their deviation + 1e-4.
        """
        rounding = 1e-2 if self.scale_rewards == "group" else 1e-5
        varied = advantages.view(-1, self.num_generations).abs().amax(1) > rounding
        return (varied | (not self.skips)).repeat_interleave(self.num_generations)

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
        """As TRL's, (rows, logits_to_keep) each, with the rows of a prompt packed into one.

        A row that is not scored has log-probabilities of 0, and in place of its entropies the mean of the others'.
        """
        chunks = []
        pixels, grids = _split_by_row(pixel_values, image_grid_thw, num_images, len(input_ids))
        scored = self._scored_rows
        if scored is None:
            scored = torch.arange(len(input_ids), device=input_ids.device)
        for part in torch.split(scored, batch_size or len(input_ids)):
            images = ([per_row[i] for i in part.tolist()] for per_row in (pixels, grids))
            chunks.append(self._score(model, input_ids[part], attention_mask[part].bool(), logits_to_keep, *images))
        log_probs, entropies = (torch.cat(of_chunks) for of_chunks in zip(*chunks, strict=True))
        if len(scored) < len(input_ids):
            tokens = attention_mask[scored, -logits_to_keep:].sum()
            mean = (entropies.detach().sum() / tokens).expand(len(input_ids), logits_to_keep)
            entropies = mean.index_copy(0, scored, entropies)
            log_probs = log_probs.new_zeros(mean.shape).index_copy(0, scored, log_probs)
        return log_probs, entropies if compute_entropy else None, None

    def _score(
        self, model: Any, ids: Tensor, mask: Tensor, completion_length: int, pixels: list[Tensor], grids: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy of each completion token, (rows, completion_length), 0 after the last."""
        completion_mask = mask[:, -completion_length:]
        prompts = [
            row[kept] for row, kept in zip(ids[:, :-completion_length], mask[:, :-completion_length], strict=True)
        ]
        completions = [row[kept] for row, kept in zip(ids[:, -completion_length:], completion_mask, strict=True)]
        prompt_of, firsts = first_equal(
            [(prompt, *images) for prompt, *images in zip(prompts, pixels, grids, strict=True)]
        )
        inner = self.accelerator.unwrap_model(model).model
        image_token = inner.config.image_token_id
        positions = [
            inner.get_rope_index(
                prompts[i][None], (prompts[i] == image_token).int()[None], grids[i] if len(grids[i]) else None
            )[0][:, 0]
            for i in firsts
        ]
        rows = PackedRows.pack(
            [prompts[i] for i in firsts], positions, completions, prompt_of, self._tokenizer.pad_token_id, image_token
        )
        features = {}
        if any(len(grids[i]) for i in firsts):
            features["pixel_values"] = torch.cat([pixels[i] for i in firsts])
            features["image_grid_thw"] = torch.cat([grids[i] for i in firsts])
        with self.accelerator.autocast():
            output = model(
                input_ids=rows.input_ids,
                position_ids=rows.position_ids,
                attention_mask={"full_attention": rows.mask},
                shift_labels=rows.targets,
                fused_lm_head=True,
                **features,
            )
        log_probs, entropy = (
            x.new_zeros(completion_mask.shape).masked_scatter(completion_mask, x.flatten()[rows.indices])
            for x in (output.log_probs, output.entropy)
        )
        return log_probs, entropy


def _split_by_row(
    pixels: Tensor | None, grids: Tensor | None, image_counts: Sequence[int] | None, rows: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The patches and the grids of each row's images."""
    if pixels is None or grids is None or image_counts is None:
        nothing = [torch.empty(0, 3, dtype=torch.long)] * rows
        return nothing, nothing
    by_row = torch.split(grids, list(image_counts))
    patches = [int(grid.prod(-1).sum()) for grid in by_row]
    return list(torch.split(pixels, patches)), list(by_row)


def _taken(values: Any, rows: Tensor) -> Any:
    """The values of these rows, of a tensor or a list; a number or None as it is."""
    if isinstance(values, Tensor):
        return values[rows] if values.ndim else values
    return None if values is None else [values[i] for i in rows.tolist()]


def _by_length(batch: dict[str, Any], group_size: int) -> Tensor:
    """The rows of the rollouts, group by group, from the longest packed row to those that are not scored."""
    length = batch["completion_mask"].view(-1, group_size, batch["completion_mask"].shape[1]).sum(dim=(1, 2))
    length = (length + batch["prompt_mask"].sum(dim=1)[::group_size]) * batch["varied"][::group_size]
    order: Tensor = length.argsort(descending=True, stable=True)
    return (order[:, None] * group_size + torch.arange(group_size, device=order.device)).flatten()
