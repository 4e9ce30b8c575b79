"""Batched decoding with a shared-prefix KV cache: each prompt prefix is prefilled once, finished rows are evicted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from .families import family_of
from .images import ImageInputs, taken, token_counts
from .kv_cache import KVCache

TOKENS_PER_PASS = 32_768
"""Prefixes are read in passes of so many tokens: at 7B the MLP takes 3.7 GB for these, and the tower as much again."""

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


def uniform_numbers(key: str, requests: int, tokens: int) -> Tensor:
    """(requests, tokens) in [0, 1), determined by the key, on every machine."""
    generator = torch.Generator().manual_seed(Random(key).getrandbits(63))
    return torch.rand((requests, tokens), generator=generator)


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prefixes: Sequence[Sequence[int]],
    images: ImageInputs,
    requests: Sequence[Sequence[Request]],
    sampling: SamplingParams,
    uniforms: Tensor | None = None,
) -> list[list[int]]:
    """The token ids of a completion for each request, those of one prefix together.

    The same tokens as transformers' `generate` (5.23), whose loop prefills every prompt whole, copies the whole cache
    at every token and keeps every row until the last has finished.

    Sampling takes one uniform number a token, all of them drawn before the first: two models that are given the same
    numbers, wherever their completions end, differ by their distributions only.

    Args:
        model: also on a GPU; its weights are whole (not sharded).
        prefixes: token ids that one or several prompts begin with, all of their image tokens among them.
        images: of the prefixes, in order.
        requests: for each prefix, the completions that continue it.
        sampling: for all requests.
        uniforms: (requests, tokens of the longest), in [0, 1), to sample with; needed unless decoding is greedy.
    """
    device = model.device
    flat = [request for of_prefix in requests for request in of_prefix]
    limits = torch.tensor([request.max_new_tokens for request in flat], device=device)
    longest = int(limits.max())
    suffixes = [request.suffix for request in flat]
    counts = [len(of_prefix) for of_prefix in requests]
    batch = _DecodingBatch.prefill(model, prefixes, images, counts, longest + max(map(len, suffixes)))
    if any(suffixes):
        batch.prefill_suffixes(suffixes)
    stops = torch.tensor(sampling.stop_token_ids, device=device)
    completions = torch.full((len(flat), longest), sampling.stop_token_ids[0], device=device)
    lengths = limits.clone()
    rows = torch.arange(len(flat), device=device)  # of `completions`, for each that is not finished
    uniforms = torch.zeros(completions.shape, device=device) if uniforms is None else uniforms.to(device)
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
        model: PreTrainedModel,
        prefixes: Sequence[Sequence[int]],
        images: ImageInputs,
        counts: Sequence[int],
        capacity: int,
    ) -> _DecodingBatch:
        """Runs each prefix through the model once, TOKENS_PER_PASS at a time; `counts` completions of at most
        `capacity` tokens continue it.

        Prefixes are padded on the right, so that causal attention needs no mask.
        """
        device = model.device
        lengths = torch.tensor([len(ids) for ids in prefixes], device=device)
        prefix = torch.arange(len(prefixes), device=device).repeat_interleave(torch.tensor(counts, device=device))
        width = math.ceil(sum(counts) / len(counts))
        column = _ranks(prefix) % width
        starts = column == 0
        rows = prefix[starts]
        cache = KVCache(rows, int(lengths.max()), width, capacity)
        last, deltas = [], []
        for part, images_of_part in _passes(model, prefixes, images):
            states, deltas_of_part = _read(model, [prefixes[i] for i in part], images_of_part, cache, part.start)
            last.append(states)
            deltas.append(deltas_of_part)
        mask = torch.arange(cache.prefix, device=device) < lengths[rows, None]
        next_positions = (lengths[:, None] + torch.cat(deltas))[rows].repeat(1, width)
        slots = (starts.cumsum(0) - 1) * width + column
        return cls(model, cache, mask, next_positions, slots, torch.cat(last)[prefix])

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
        visible = self._mask[:, None, None] & self._same_completion(steps)
        states = language(
            inputs_embeds=language.embed_tokens(packed_ids.flatten(1)),
            position_ids=positions.expand(3, -1, -1),
            attention_mask=family_of(self._model.config).attention_mask(visible),
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


def _passes(
    model: PreTrainedModel, prefixes: Sequence[Sequence[int]], images: ImageInputs
) -> Iterator[tuple[range, ImageInputs]]:
    """Consecutive prefixes, by number, and their images: as many as have TOKENS_PER_PASS with their padding, or one."""
    sizes = token_counts(images, model.config.vision_config.spatial_merge_size) if images else []
    start = image = 0
    while start < len(prefixes):
        end, longest = start, 0
        while end < len(prefixes):
            longest = max(longest, len(prefixes[end]))
            if end > start and longest * (end + 1 - start) > TOKENS_PER_PASS:
                break
            end += 1
        left = sum(list(prefixes[i]).count(model.config.image_token_id) for i in range(start, end))
        first = image
        while left > 0:
            left -= sizes[image]
            image += 1
        yield range(start, end), taken(images, range(first, image))
        start = end


def _read(
    model: PreTrainedModel,
    prefixes: Sequence[Sequence[int]],
    images: ImageInputs,
    cache: KVCache,
    first: int,
) -> tuple[Tensor, Tensor]:
    """Fills the cache with prefixes, of which the first has the number `first`, in one pass.

    Returns the last hidden state of each, (prefixes, hidden), and what M-RoPE adds to later positions, (prefixes, 1).
    """
    inputs = {k: v.to(model.device) if isinstance(v, Tensor) else v for k, v in images.items()}
    ids, lengths = _padded(prefixes, model.device)
    token_types = (ids == model.config.image_token_id).int()
    positions, deltas = model.model.get_rope_index(ids, token_types, inputs.get("image_grid_thw"))
    prefilled = DynamicCache(config=model.config)
    no_mask = family_of(model.config).attention_mask(None)
    states = model.model(
        input_ids=ids, position_ids=positions, attention_mask=no_mask, past_key_values=prefilled, **inputs
    ).last_hidden_state
    cache.fill(prefilled, first, len(prefixes))
    return states[torch.arange(len(prefixes), device=model.device), lengths - 1], deltas


def _ranks(groups: Tensor) -> Tensor:
    """The rank of each element within its run of equal ones: 0 0 4 4 4 gives 0 1 0 1 2."""
    counts = groups.bincount()
    return torch.arange(len(groups), device=groups.device) - (counts.cumsum(0) - counts)[groups]


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids, (rows, longest), padded on the right with 0, and the length of each row."""
    lengths = [len(row) for row in rows]
    ids = torch.tensor([[*row, *[0] * (max(lengths) - len(row))] for row in rows], device=device)
    return ids, torch.tensor(lengths, device=device)
