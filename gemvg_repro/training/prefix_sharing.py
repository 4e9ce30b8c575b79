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
from torch.utils.data import DataLoader, Sampler
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import split_tensor_dict

from ..models.decoding import Request, SamplingParams, generate, uniform_numbers
from ..models.families import family_of
from ..models.images import ImageInputs, repeated, taken
from . import processes
from .generation_batches import GenerationBatch, OncePerGeneration
from .loading import CollatesItems
from .packed_rows import PackedRows

_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.01}
"""By how much, in nats a token on average, log-probabilities may differ by the order of sums in each type."""


class PrefixSharingError(RuntimeError):
    """The forward pass with a shared prefix is not that of rows with the whole prompt."""


class SharedPrefixGRPOTrainer(CollatesItems, GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer, with the prompt shared by its rollouts, and without forward passes that give no gradient."""

    shares = True
    """Whether the rows of a prompt are packed into one; if so, the first are compared to TRL's own forward pass."""

    skips = True
    """Whether the groups whose rewards are equal, which have no advantage, are left out of the forward pass."""

    _buffered_inputs: list[dict[str, Any]] | None
    _verified = False
    _scored_rows: Tensor | None = None
    """Of the micro-batch whose loss is computed: the rows that pass through the model, in order; None: all."""

    _prompts: GenerationBatch
    """Of the rollouts that are trained on."""
    _prompt_of: list[int]
    """The number of the prompt, in `_prompts`, of each row that is scored next."""

    def _get_dataloader(
        self, dataset: Any, description: str, batch_size: int, sampler_fn: Any = None, **kwargs: Any
    ) -> DataLoader[Any]:
        """As transformers', with each generation batch collated once."""

        def sampler(dataset: Any) -> Sampler[Any]:
            return OncePerGeneration(sampler_fn(dataset))

        loader: DataLoader[Any] = super()._get_dataloader(dataset, description, batch_size, sampler, **kwargs)
        return loader

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """As TRL's, of a GenerationBatch; TRL sees no images, and no prompt more than once."""
        self._prompts, self._prompt_of = inputs, inputs["prompt_of"]
        rollouts: dict[str, Any] = super()._generate_and_score_completions(inputs["rows"])
        return {**rollouts, "prompt_of": torch.tensor(inputs["prompt_of"], device=rollouts["prompt_ids"].device)}

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Of each row, the token ids that the batch came with."""
        return [self._prompts["prompt_ids"][prompt] for prompt in self._prompt_of], None, {}

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any
    ) -> tuple[list[list[int]], None]:
        """As TRL's, by our own decoding, which prefills each prompt once."""
        sampling = SamplingParams(tuple(self.eos_token_ids), self.temperature)
        prefixes = self._prompts["prompt_ids"]
        requests = [
            [Request(self.max_completion_length)] * self._prompt_of.count(prompt) for prompt in range(len(prefixes))
        ]
        with unwrap_model_for_generation(
            self.model_wrapped,
            self.accelerator,
            gather_deepspeed3_params=self.args.ds3_gather_for_generation,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        ) as model:
            uniforms = self._uniforms(len(prompt_ids))
            return generate(model, prefixes, self._prompts["images"], requests, sampling, uniforms), None

    def _uniforms(self, rows: int) -> Tensor:
        """The numbers that this process's rollouts are sampled with: a function of the seed, the step, and the row in
        the batch of all processes."""
        key = f"rollouts/{self.args.seed}/{self.state.global_step}"
        batch = uniform_numbers(key, rows * processes.count(), self.max_completion_length)
        return batch.tensor_split(processes.count())[processes.rank()]

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """As TRL's, which shuffles rollouts into micro-batches; here those of a prompt stay together, beside others of
        similar length. Over an optimiser step the sum is the same."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        steps = self.args.steps_per_generation
        if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
            rollouts = self._generate_and_score_completions(generation_batch)
            rollouts["varied"] = self._varied(rollouts["advantages"])
            rows = _by_length(rollouts, self.num_generations)
            rollouts = {name: _taken(value, rows) for name, value in rollouts.items()}
            self._buffered_inputs = split_tensor_dict(rollouts, steps)
        return self._buffered_inputs[self._step % steps]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """As TRL's, by a forward pass of the rows of `varied` groups only; of all where there is a KL penalty."""
        self._prompt_of = inputs["prompt_of"].tolist()
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
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        """As TRL's, (rows, logits_to_keep) each, with the rows of a prompt, by `_prompt_of`, packed into one.

        A row that is not scored has log-probabilities of 0, and in place of its entropies the mean of the others'.

        Raises:
            PrefixSharingError: the first log-probabilities are not those of the rows with the whole prompt.
        """
        if not self.shares:
            rows = torch.arange(len(input_ids), device=input_ids.device)
            return self._unshared(model, rows, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy)
        chunks = []
        scored = self._scored_rows
        if scored is None:
            scored = torch.arange(len(input_ids), device=input_ids.device)
        for part in torch.split(scored, batch_size or len(input_ids)):
            prompts = [self._prompt_of[i] for i in part.tolist()]
            completions = (values[part, -logits_to_keep:] for values in (input_ids, attention_mask.bool()))
            chunks.append(self._score(model, prompts, *completions))
        log_probs, entropies = (torch.cat(of_chunks) for of_chunks in zip(*chunks, strict=True))
        if not self._verified:
            self._verify(model, scored[:2], input_ids, attention_mask, logits_to_keep, log_probs[:2])
            self._verified = True
        if len(scored) < len(input_ids):
            tokens = attention_mask[scored, -logits_to_keep:].sum()
            mean = (entropies.detach().sum() / tokens).expand(len(input_ids), logits_to_keep)
            entropies = mean.index_copy(0, scored, entropies)
            log_probs = log_probs.new_zeros(mean.shape).index_copy(0, scored, log_probs)
        return log_probs, entropies if compute_entropy else None, None

    def _unshared(
        self, model: Any, rows: Tensor, ids: Tensor, mask: Tensor, logits_to_keep: int, *args: Any
    ) -> tuple[Tensor, Tensor | None, None]:
        """TRL's own log-probabilities and entropies of these rows, each with its whole prompt."""
        prompts = [self._prompt_of[i] for i in rows.tolist()]
        token_types = (ids[rows] == self.accelerator.unwrap_model(model).config.image_token_id).int()
        token_types[:, -logits_to_keep:] = 0
        scores: tuple[Tensor, Tensor | None, None] = super()._get_per_token_logps_and_entropies(
            model,
            ids[rows],
            mask[rows],
            logits_to_keep,
            *args,
            num_images=[len(self._prompts["images_of"][prompt]) for prompt in prompts],
            mm_token_type_ids=token_types,
            **repeated(self._images(prompts, ids.device)),
        )
        return scores

    @torch.no_grad()
    def _verify(
        self, model: Any, rows: Tensor, ids: Tensor, mask: Tensor, logits_to_keep: int, log_probs: Tensor
    ) -> None:
        """Compares the log-probabilities of these rows to those of the rows with the whole prompt."""
        expected, _, _ = self._unshared(model, rows, ids, mask, logits_to_keep)
        completion_mask = mask[rows, -logits_to_keep:].bool()
        difference = float((log_probs.detach() - expected)[completion_mask].abs().mean())
        limit = _ROUNDING[self.model.dtype]
        if not difference <= limit:
            raise PrefixSharingError(
                f"log-probabilities of rollouts whose prompt is shared differ by {difference:.2g} on average from those"
                f" with the whole prompt; rounding in {self.model.dtype} gives at most {limit}. Another version of"
                " transformers or torch? With `prefix_sharing: false` in the profile each rollout has its own prompt"
            )

    def _score(self, model: Any, prompt_of: list[int], ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy of each token of the completions `ids`, where `mask` is True, of the prompts of
        these numbers; 0 elsewhere."""
        prompts = list(dict.fromkeys(prompt_of))
        tokens = [torch.tensor(self._prompts["prompt_ids"][prompt], device=ids.device) for prompt in prompts]
        inner = self.accelerator.unwrap_model(model).model
        image_token = inner.config.image_token_id
        positions = [
            inner.get_rope_index(of_prompt[None], (of_prompt == image_token).int()[None], grids)[0][:, 0]
            for of_prompt, grids in zip(tokens, (self._grids(prompt) for prompt in prompts), strict=True)
        ]
        completions = [row[kept] for row, kept in zip(ids, mask, strict=True)]
        rows = PackedRows.pack(
            tokens, positions, completions, [prompts.index(p) for p in prompt_of], self._tokenizer.pad_token_id,
            image_token,
        )  # fmt: skip
        with self.accelerator.autocast():
            output = model(
                input_ids=rows.input_ids,
                position_ids=rows.position_ids,
                attention_mask=family_of(inner.config).attention_mask(rows.mask),
                shift_labels=rows.targets,
                fused_lm_head=True,
                **self._images(prompts, ids.device),
            )
        log_probs, entropy = (
            x.new_zeros(mask.shape).masked_scatter(mask, x.flatten()[rows.indices])
            for x in (output.log_probs, output.entropy)
        )
        return log_probs, entropy

    def _grids(self, prompt: int) -> Tensor:
        """(images, 3), of a prompt's images."""
        grids: Tensor = self._prompts["images"]["image_grid_thw"][self._prompts["images_of"][prompt]]
        return grids

    def _images(self, prompts: Sequence[int], device: torch.device) -> ImageInputs:
        """The inputs of these prompts' images, in order."""
        numbers = [image for prompt in prompts for image in self._prompts["images_of"][prompt]]
        inputs = taken(self._prompts["images"], numbers)
        return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in inputs.items()}


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
