"""How are answers said, token by token? What prompts begin with alike is read once; what has ended drops out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, Qwen2VLForConditionalGeneration

_CROWDED = 0.75
"""The cache is packed once what still speaks fits in this share of its places."""


@dataclass(frozen=True)
class Speech:
    """How tokens are chosen: the likeliest, or with a `temperature` drawn from the whole distribution, up to and
    including one of the tokens `ends`."""

    ends: tuple[int, ...]
    temperature: float = 0.0

    def choose(self, logits: Tensor, chance: Tensor) -> Tensor:
        """(rows, vocabulary) to (rows,): where each row's `chance`, in [0, 1), falls in its distribution, summed up."""
        if self.temperature == 0.0:
            return logits.argmax(dim=-1)
        summed = (logits.double() / self.temperature).softmax(dim=-1).cumsum(dim=-1)
        return torch.searchsorted(summed, chance.double()[:, None], right=True)[:, 0]


@dataclass(frozen=True)
class Wanted:
    """An answer to a prompt: how many tokens at most, and what the prompt has behind its stem."""

    max_new_tokens: int
    tail: Sequence[int] = ()


@torch.no_grad()
def say(
    model: Qwen2VLForConditionalGeneration,
    stems: Sequence[Sequence[int]],
    pictures: dict[str, Tensor],
    wanted: Sequence[Sequence[Wanted]],
    speech: Speech,
) -> list[list[int]]:
    """The tokens of all answers that are wanted, those to prompts of one stem together.

    A stem is token ids with which one or several prompts begin, and has all of their pictures; `pictures` are the
    image processor's tensors for the stems in order. As transformers' `generate` (5.23), whose loop reads every
    prompt whole, copies the whole cache at every token and goes on with every row until the last has ended.

    What is drawn takes one chance a token from torch's generator, all at the beginning: two models that begin with one
    seed draw by the same chances, wherever their answers end, and so differ by what they hold likely.
    """
    device = model.device
    answers = [answer for each in wanted for answer in each]
    limits = torch.tensor([answer.max_new_tokens for answer in answers], device=device)
    longest = int(limits.max())
    tails = [answer.tail for answer in answers]
    counts = [len(each) for each in wanted]
    shown = {name: value.to(device) for name, value in pictures.items()}
    speaking = _Branches.reading(model, stems, shown, counts, longest + max(map(len, tails)))
    if any(tails):
        speaking.go_on(tails)
    ends = torch.tensor(speech.ends, device=device)
    said = torch.full((len(answers), longest), speech.ends[0], device=device)
    lengths = limits.clone()
    rows = torch.arange(len(answers), device=device)  # of `said`, for each that still speaks
    chances = torch.zeros(said.shape, device=device)  # the likeliest takes none, and leaves the generator as it is
    if speech.temperature:
        chances.uniform_()
    for position in range(longest):
        tokens = speech.choose(model.lm_head(speaking.states), chances[rows, position])
        said[rows, position] = tokens
        goes_on = ~torch.isin(tokens, ends) & (limits[rows] > position + 1)
        lengths[rows[~goes_on]] = position + 1
        left = goes_on.nonzero()[:, 0]
        if len(left) == 0:
            break
        if len(left) < len(rows):
            rows, tokens = rows[left], tokens[left]
            speaking.keep(left)
        speaking.hear(tokens)
    return [ids[:length] for ids, length in zip(said.tolist(), lengths.tolist(), strict=True)]


class _Branches:
    """Answers in the making, as branches of their stems: a stem is a row, and whatever its answers hear next stands
    behind it in that row, a token of each by turns; a mask shows to each the stem and its own.

    So a stem is kept and read once for all of its answers, unless it has more than stems have on average: it is then
    kept for every so many, since all rows take the room of the fullest.

    Attributes:
        states: (answers that speak, hidden), for the next token of each, in order.
    """

    def __init__(self, model: Any, cache: _Room, shown: Tensor, places: Tensor, cells: Tensor, states: Tensor):
        self.states = states
        self._model = model
        self._cache = cache
        self._shown = shown
        """(rows, tokens of the cache)"""
        self._places = places
        """(rows, branches), M-RoPE's, of the next token"""
        self._cells = cells
        """(answers that speak,), where each is in (rows, branches), flattened"""

    @classmethod
    def reading(
        cls,
        model: Qwen2VLForConditionalGeneration,
        stems: Sequence[Sequence[int]],
        pictures: dict[str, Tensor],
        counts: Sequence[int],
        room: int,
    ) -> _Branches:
        """Reads each stem once; `counts` answers then go on from it, by `room` tokens at most.

        Stems are padded on the right, so that reading them takes no mask.
        """
        device = model.device
        ids, lengths = _padded(stems, device)
        kinds = (ids == model.config.image_token_id).int()
        positions, deltas = model.model.get_rope_index(ids, kinds, pictures.get("image_grid_thw"))
        cache = DynamicCache(config=model.config)
        states = model.model(
            input_ids=ids, position_ids=positions, attention_mask=_NO_MASK, past_key_values=cache, **pictures
        ).last_hidden_state
        last = states[torch.arange(len(stems), device=device), lengths - 1]
        stem = torch.arange(len(stems), device=device).repeat_interleave(torch.tensor(counts, device=device))
        branches = math.ceil(sum(counts) / len(counts))
        branch = _ranks(stem) % branches
        starts = branch == 0
        rows = stem[starts]
        lengths = lengths[rows, None]
        shown = torch.arange(ids.shape[1], device=device) < lengths
        places = (lengths + deltas[rows]).repeat(1, branches)
        cells = (starts.cumsum(0) - 1) * branches + branch
        return cls(model, _Room(cache, rows, branches, room), shown, places, cells, last[stem])

    def keep(self, left: Tensor) -> None:
        """Goes on with these only; takes the rest out of the cache once that has become much smaller."""
        self.states = self.states[left]
        self._cells = self._cells[left]
        stem, before = self._cache.stem, self._cache.branches
        row_of, branch = self._cells // before, self._cells % before
        speaks = row_of.bincount() > 0
        rows, row, column = speaks.nonzero()[:, 0], speaks.cumsum(0)[row_of] - 1, _ranks(row_of)
        branches = int(column.max()) + 1
        if len(rows) * branches > _CROWDED * self._places.numel():
            return
        kept = torch.zeros((len(rows), branches), dtype=torch.long, device=left.device)
        kept[row, column] = branch
        self._cache.keep(rows, kept)
        steps = (self._shown.shape[1] - stem) // before  # none, where all hear their first token next
        said = self._shown[rows, stem:].view(len(rows), steps, before)
        said = said.gather(2, kept[:, None].expand(-1, steps, -1)).flatten(1)
        self._shown = torch.cat([self._shown[rows, :stem], said], dim=1)
        self._places = self._places[rows].gather(1, kept)
        self._cells = row * branches + column

    def go_on(self, tails: Sequence[Sequence[int]]) -> None:
        """Appends an answer's own tokens to each; of some there may be none."""
        ids, lengths = _padded(tails, self.states.device)
        real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        states = self._read(ids, real)
        last = states[torch.arange(len(tails), device=ids.device), (lengths - 1).clamp(min=0)]
        self.states = torch.where(lengths[:, None] > 0, last, self.states)

    def hear(self, tokens: Tensor) -> None:
        """Appends a token to each answer."""
        self.states = self._read(tokens[:, None], torch.ones_like(tokens[:, None], dtype=torch.bool))[:, 0]

    def _read(self, ids: Tensor, real: Tensor) -> Tensor:
        """The states, (answers, tokens, hidden), of the `real` ones of what all hear next, (answers, tokens)."""
        language = self._model.model.language_model
        rows, branches, steps = *self._places.shape, ids.shape[1]
        inside = torch.arange(steps, device=ids.device)
        cells = self._spread(ids)
        self._shown = torch.cat([self._shown, self._spread(real).flatten(1)], dim=1)
        places = (self._places[:, None] + inside[:, None]).flatten(1)
        states = language(
            inputs_embeds=language.embed_tokens(cells.flatten(1)),
            position_ids=places.expand(3, -1, -1),
            attention_mask={"full_attention": self._shown[:, None, None] & self._own(steps)},
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        self._cache.used += steps * branches
        self._places = self._places + self._spread(real).sum(1)
        told: Tensor = states.view(rows, steps, branches, -1).transpose(1, 2).flatten(0, 1)[self._cells]
        return told

    def _spread(self, values: Tensor) -> Tensor:
        """(answers, tokens) to (rows, tokens, branches), with zeros where no answer is."""
        grid = values.new_zeros((self._places.numel(), values.shape[1]))
        grid[self._cells] = values
        spread: Tensor = grid.view(*self._places.shape, -1).transpose(1, 2)
        return spread

    def _own(self, steps: int) -> Tensor:
        """(new tokens, tokens of the cache): whether one is of the stem, or earlier in the other's branch."""
        token = torch.arange(self._shown.shape[1], device=self._shown.device) - self._cache.stem
        new = token[-steps * self._cache.branches :, None]
        own: Tensor = (token < 0) | ((token % self._cache.branches == new % self._cache.branches) & (token <= new))
        return own


def _ranks(groups: Tensor) -> Tensor:
    """The how-manieth each is among its equals, which stand together: 0 0 4 4 4 gives 0 1 0 1 2."""
    counts = groups.bincount()
    return torch.arange(len(groups), device=groups.device) - (counts.cumsum(0) - counts)[groups]


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids, (rows, longest), filled up on the right by any; and how many each row has."""
    lengths = [len(row) for row in rows]
    ids = torch.tensor([[*row, *[0] * (max(lengths) - len(row))] for row in rows], device=device)
    return ids, torch.tensor(lengths, device=device)


_NO_MASK = {"full_attention": None}
"""Plain causal attention: transformers then leaves the mask to the attention kernel."""


class _Room:
    """The part of transformers' Cache that decoding takes, with its memory set aside at once; DynamicCache copies all
    keys and values at every token. `stem` tokens, then so many `branches` by turns."""

    def __init__(self, read: DynamicCache, rows: Tensor, branches: int, steps: int):
        self.stem = self.used = read.get_seq_length()
        self.branches = branches
        self._steps = steps
        self._keys = [self._with_room(layer.keys, rows) for layer in read.layers]
        self._values = [self._with_room(layer.values, rows) for layer in read.layers]

    def update(self, keys: Tensor, values: Tensor, layer: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Appends the states of new tokens; returns all, each (rows, heads, tokens, size)."""
        end = self.used + keys.shape[2]
        self._keys[layer][:, :, self.used : end] = keys
        self._values[layer][:, :, self.used : end] = values
        return self._keys[layer][:, :, :end], self._values[layer][:, :, :end]

    def keep(self, rows: Tensor, branches: Tensor) -> None:
        """Goes on with these rows, and these branches of each, (rows, branches)."""
        said, before = (self.used - self.stem) // self.branches, self.branches
        start, end, self.branches = self.stem, self.used, branches.shape[1]
        self.used = start + said * self.branches
        for states in (self._keys, self._values):
            for layer, whole in enumerate(states):
                every, heads, _, size = whole.shape
                states[layer] = self._with_room(whole, rows)
                own = whole[:, :, start:end].view(every, heads, said, before, size).index_select(0, rows)
                index = branches[:, None, None, :, None].expand(-1, heads, said, -1, size)
                states[layer][:, :, start : self.used] = own.gather(3, index).flatten(2, 3)

    def _with_room(self, states: Tensor, rows: Tensor) -> Tensor:
        """The stems of these rows, at the beginning of all the room that is needed."""
        _, heads, _, size = states.shape
        whole = states.new_empty((len(rows), heads, self.stem + self._steps * self.branches, size))
        torch.index_select(states[:, :, : self.stem], 0, rows, out=whole[:, :, : self.stem])
        return whole
