"""Batched decoding with a shared-prefix KV cache: each prompt prefix is prefilled once, finished rows are evicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, Qwen2VLForConditionalGeneration

_COMPACT_BELOW = 0.75
"""The cache is compacted once the unfinished completions fit in this share of its slots."""


@dataclass(frozen=True)
class SamplingParams:
    """How next tokens are chosen: greedily, or with a `temperature` > 0 sampled from the whole distribution (no top-k,
    no top-p). A completion ends with the first of `stop_token_ids`, which it includes."""

    stop_token_ids: tuple[int, ...]
    temperature: float = 0.0

    def sample(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """Next tokens, (rows,), from logits of (rows, vocabulary), by inverting each row's cumulative distribution at
        its number of `uniforms`, (rows,), in [0, 1)."""
        if self.temperature == 0.0:
            return logits.argmax(dim=-1)
        cumulative = (logits.double() / self.temperature).softmax(dim=-1).cumsum(dim=-1)
        return torch.searchsorted(cumulative, uniforms.double()[:, None], right=True)[:, 0]


@dataclass(frozen=True)
class Request:
    """One completion to generate: at most `max_new_tokens` tokens, after the prompt's prefix and this `suffix`."""

    max_new_tokens: int
    suffix: Sequence[int] = ()


@torch.no_grad()
def generate(
    model: Qwen2VLForConditionalGeneration,
    prefixes: Sequence[Sequence[int]],
    images: dict[str, Tensor],
    requests: Sequence[Sequence[Request]],
    sampling: SamplingParams,
) -> list[list[int]]:
    """The token ids of a completion for each request, those of one prefix together.

    The same tokens as transformers' `generate` (5.23), whose loop prefills every prompt whole, copies the whole cache
    at every token and keeps every row until the last has finished.

    Sampling takes one uniform number a token from torch's generator, all of them at the start: two models that start
    from one seed sample with the same numbers, wherever their completions end, and so differ by their distributions.

    Args:
        model: also on a GPU; its weights are whole (not sharded).
        prefixes: token ids that one or several prompts begin with, all of their image tokens among them.
        images: the image processor's tensors for the prefixes, in order.
        requests: for each prefix, the completions that continue it.
        sampling: for all requests.
    """
    device = model.device
    flat = [request for of_prefix in requests for request in of_prefix]
    limits = torch.tensor([request.max_new_tokens for request in flat], device=device)
    longest = int(limits.max())
    suffixes = [request.suffix for request in flat]
    counts = [len(of_prefix) for of_prefix in requests]
    on_device = {name: value.to(device) for name, value in images.items()}
    batch = _DecodingBatch.prefill(model, prefixes, on_device, counts, longest + max(map(len, suffixes)))
    if any(suffixes):
        batch.prefill_suffixes(suffixes)
    stops = torch.tensor(sampling.stop_token_ids, device=device)
    completions = torch.full((len(flat), longest), sampling.stop_token_ids[0], device=device)
    lengths = limits.clone()
    rows = torch.arange(len(flat), device=device)  # of `completions`, for each that is not finished
    uniforms = torch.zeros(completions.shape, device=device)  # greedy decoding leaves torch's generator as it is
    if sampling.temperature:
        uniforms.uniform_()
    for position in range(longest):
        tokens = sampling.sample(model.lm_head(batch.states), uniforms[rows, position])
        completions[rows, position] = tokens
        running = ~torch.isin(tokens, stops) & (limits[rows] > position + 1)
        lengths[rows[~running]] = position + 1
        unfinished = running.nonzero()[:, 0]
        if len(unfinished) == 0:
            break
        if len(unfinished) < len(rows):
            rows, tokens = rows[unfinished], tokens[unfinished]
            batch.evict_all_but(unfinished)
        batch.decode_step(tokens)
    return [ids[:length] for ids, length in zip(completions.tolist(), lengths.tolist(), strict=True)]


class _DecodingBatch:
    """The unfinished completions, packed into rows: a row holds a prefix and, behind it, the tokens of its completions,
    interleaved, one of each by turns; the mask shows each completion the prefix and itself.

    So a prefix is cached and prefilled once for all of its completions, unless it has more than prefixes have on
    average: it then has several rows, since all rows are as long as the fullest.

    Attributes:
        states: (unfinished completions, hidden), the last hidden state of each, from which its next token is chosen.
    """

    def __init__(self, model: Any, cache: KVCache, mask: Tensor, positions: Tensor, slots: Tensor, states: Tensor):
        self.states = states
        self._model = model
        self._cache = cache
        self._mask = mask
        """(rows, tokens of the cache): True for tokens, False for padding"""
        self._positions = positions
        """(rows, completions a row): M-RoPE position of each one's next token"""
        self._slots = slots
        """(unfinished completions,): where each is in (rows, completions a row), flattened"""

    @classmethod
    def prefill(
        cls,
        model: Qwen2VLForConditionalGeneration,
        prefixes: Sequence[Sequence[int]],
        images: dict[str, Tensor],
        counts: Sequence[int],
        capacity: int,
    ) -> _DecodingBatch:
        """Runs each prefix through the model once; `counts` completions of at most `capacity` tokens continue it.

        Prefixes are padded on the right, so that causal attention needs no mask.
        """
        device = model.device
        ids, lengths = _padded(prefixes, device)
        token_types = (ids == model.config.image_token_id).int()
        positions, deltas = model.model.get_rope_index(ids, token_types, images.get("image_grid_thw"))
        cache = DynamicCache(config=model.config)
        states = model.model(
            input_ids=ids, position_ids=positions, attention_mask=_NO_MASK, past_key_values=cache, **images
        ).last_hidden_state
        last = states[torch.arange(len(prefixes), device=device), lengths - 1]
        prefix = torch.arange(len(prefixes), device=device).repeat_interleave(torch.tensor(counts, device=device))
        width = math.ceil(sum(counts) / len(counts))
        column = _ranks(prefix) % width
        starts = column == 0
        rows = prefix[starts]
        lengths = lengths[rows, None]
        mask = torch.arange(ids.shape[1], device=device) < lengths
        next_positions = (lengths + deltas[rows]).repeat(1, width)
        slots = (starts.cumsum(0) - 1) * width + column
        return cls(model, KVCache(cache, rows, width, capacity), mask, next_positions, slots, last[prefix])

    def evict_all_but(self, kept: Tensor) -> None:
        """Drops finished completions; compacts the cache once it has become much emptier.

        Args:
            kept: (completions that stay,), their places among the unfinished ones.
        """
        self.states = self.states[kept]
        self._slots = self._slots[kept]
        prefix, before = self._cache.prefix, self._cache.width
        row_of, column_of = self._slots // before, self._slots % before
        occupied = row_of.bincount() > 0
        rows, row, column = occupied.nonzero()[:, 0], occupied.cumsum(0)[row_of] - 1, _ranks(row_of)
        width = int(column.max()) + 1
        if len(rows) * width > _COMPACT_BELOW * self._positions.numel():
            return
        columns = torch.zeros((len(rows), width), dtype=torch.long, device=kept.device)
        columns[row, column] = column_of
        self._cache.compact(rows, columns)
        steps = (self._mask.shape[1] - prefix) // before  # none, where all decode their first token next
        mask = self._mask[rows, prefix:].view(len(rows), steps, before)
        mask = mask.gather(2, columns[:, None].expand(-1, steps, -1)).flatten(1)
        self._mask = torch.cat([self._mask[rows, :prefix], mask], dim=1)
        self._positions = self._positions[rows].gather(1, columns)
        self._slots = row * width + column

    def prefill_suffixes(self, suffixes: Sequence[Sequence[int]]) -> None:
        """Appends its own token ids to each completion's prompt; a suffix may be empty."""
        ids, lengths = _padded(suffixes, self.states.device)
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        states = self._forward(ids, mask)
        last = states[torch.arange(len(suffixes), device=ids.device), (lengths - 1).clamp(min=0)]
        self.states = torch.where(lengths[:, None] > 0, last, self.states)

    def decode_step(self, tokens: Tensor) -> None:
        """Appends a token, (unfinished completions,), to each completion."""
        self.states = self._forward(tokens[:, None], torch.ones_like(tokens[:, None], dtype=torch.bool))[:, 0]

    def _forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Hidden states, (completions, tokens, hidden), of new ids, (completions, tokens), where `mask` is True."""
        language = self._model.model.language_model
        rows, width, steps = *self._positions.shape, ids.shape[1]
        offsets = torch.arange(steps, device=ids.device)
        packed_ids = self._pack(ids)
        self._mask = torch.cat([self._mask, self._pack(mask).flatten(1)], dim=1)
        positions = (self._positions[:, None] + offsets[:, None]).flatten(1)
        states = language(
            inputs_embeds=language.embed_tokens(packed_ids.flatten(1)),
            position_ids=positions.expand(3, -1, -1),
            attention_mask={"full_attention": self._mask[:, None, None] & self._same_completion(steps)},
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        self._cache.used += steps * width
        self._positions = self._positions + self._pack(mask).sum(1)
        unpacked: Tensor = states.view(rows, steps, width, -1).transpose(1, 2).flatten(0, 1)[self._slots]
        return unpacked

    def _pack(self, values: Tensor) -> Tensor:
        """(completions, tokens) to (rows, tokens, completions a row), with zeros in empty slots."""
        grid = values.new_zeros((self._positions.numel(), values.shape[1]))
        grid[self._slots] = values
        packed: Tensor = grid.view(*self._positions.shape, -1).transpose(1, 2)
        return packed

    def _same_completion(self, steps: int) -> Tensor:
        """(new tokens, tokens of the cache): True where the second is of the prefix, or of the first's completion and
        not after it."""
        key = torch.arange(self._mask.shape[1], device=self._mask.device) - self._cache.prefix
        query = key[-steps * self._cache.width :, None]
        same: Tensor = (key < 0) | ((key % self._cache.width == query % self._cache.width) & (key <= query))
        return same


def _ranks(groups: Tensor) -> Tensor:
    """The rank of each element within its run of equal ones: 0 0 4 4 4 gives 0 1 0 1 2."""
    counts = groups.bincount()
    return torch.arange(len(groups), device=groups.device) - (counts.cumsum(0) - counts)[groups]


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids, (rows, longest), padded on the right with 0, and the length of each row."""
    lengths = [len(row) for row in rows]
    ids = torch.tensor([[*row, *[0] * (max(lengths) - len(row))] for row in rows], device=device)
    return ids, torch.tensor(lengths, device=device)


_NO_MASK = {"full_attention": None}
"""Plain causal attention: transformers then leaves the mask to the attention kernel."""


class KVCache:
    """A preallocated KV cache with transformers' `update`; DynamicCache copies all keys and values at every token.

    A row holds `prefix` tokens, then the tokens of `width` completions, interleaved.
    """

    def __init__(self, prefilled: DynamicCache, rows: Tensor, width: int, steps: int):
        self.prefix = self.used = prefilled.get_seq_length()
        self.width = width
        self._steps = steps
        self._keys = [self._allocated(layer.keys, rows) for layer in prefilled.layers]
        self._values = [self._allocated(layer.values, rows) for layer in prefilled.layers]

    def update(self, keys: Tensor, values: Tensor, layer: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Appends the keys and values of new tokens; returns all, each (rows, heads, tokens, size)."""
        end = self.used + keys.shape[2]
        self._keys[layer][:, :, self.used : end] = keys
        self._values[layer][:, :, self.used : end] = values
        return self._keys[layer][:, :, :end], self._values[layer][:, :, :end]

    def compact(self, rows: Tensor, columns: Tensor) -> None:
        """Keeps these rows, and of each the completions in these `columns`, (rows, new width)."""
        steps, before = (self.used - self.prefix) // self.width, self.width
        start, end, self.width = self.prefix, self.used, columns.shape[1]
        self.used = start + steps * self.width
        for states in (self._keys, self._values):
            for layer, whole in enumerate(states):
                every, heads, _, size = whole.shape
                states[layer] = self._allocated(whole, rows)
                own = whole[:, :, start:end].view(every, heads, steps, before, size).index_select(0, rows)
                index = columns[:, None, None, :, None].expand(-1, heads, steps, -1, size)
                states[layer][:, :, start : self.used] = own.gather(3, index).flatten(2, 3)

    def _allocated(self, states: Tensor, rows: Tensor) -> Tensor:
        """The prefixes of these rows, at the start of as much memory as the longest completions take."""
        _, heads, _, size = states.shape
        whole = states.new_empty((len(rows), heads, self.prefix + self._steps * self.width, size))
        torch.index_select(states[:, :, : self.prefix], 0, rows, out=whole[:, :, : self.prefix])
        return whole
