"""How are answers said, token by token? What prompts begin with alike is read once; what has ended drops out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, Qwen2VLForConditionalGeneration

_CROWDED = 0.75
"""Once no more than this share of the rows still speaks, the rest is taken out of the cache."""


@dataclass(frozen=True)
class Speech:
    """How tokens are chosen: the likeliest, or with a `temperature` drawn from the whole distribution by torch's
    generator, up to and including one of the tokens `ends`."""

    ends: tuple[int, ...]
    temperature: float = 0.0

    def choose(self, logits: Tensor) -> Tensor:
        """(rows, vocabulary) to (rows,)."""
        if self.temperature == 0.0:
            return logits.argmax(dim=-1)
        return torch.multinomial((logits.float() / self.temperature).softmax(dim=-1), 1)[:, 0]


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
    """
    device = model.device
    answers = [answer for each in wanted for answer in each]
    limits = torch.tensor([answer.max_new_tokens for answer in answers], device=device)
    longest = int(limits.max())
    repeats = torch.tensor([len(each) for each in wanted], device=device)
    tails = [answer.tail for answer in answers]
    room = longest + max(map(len, tails))
    speaking = _Rows.reading(model, stems, {k: v.to(device) for k, v in pictures.items()}, repeats, room)
    if any(tails):
        speaking.go_on(tails)
    ends = torch.tensor(speech.ends, device=device)
    said = torch.full((len(answers), longest), speech.ends[0], device=device)
    rows = torch.arange(len(said), device=device)  # of `said`, for each row of `speaking`
    lengths = limits.clone()
    ended = torch.zeros(len(said), dtype=torch.bool, device=device)
    for position in range(longest):
        tokens = speech.choose(model.lm_head(speaking.states))
        said[rows[~ended], position] = tokens[~ended]
        now = torch.isin(tokens, ends) | (limits[rows] == position + 1)
        lengths[rows[~ended & now]] = position + 1
        ended |= now
        left = int((~ended).sum())
        if left == 0:
            break
        if left <= _CROWDED * len(ended):
            kept = (~ended).nonzero()[:, 0]
            speaking.keep(kept)
            rows, tokens, ended = rows[kept], tokens[kept], ended[kept]
        speaking.hear(tokens)
    return [ids[:length] for ids, length in zip(said.tolist(), lengths.tolist(), strict=True)]


class _Rows:
    """Answers in the making: what a model has read of each, and `states`, (rows, hidden), for the next token.

    Stems are padded on the right, so that reading them takes no mask; the tokens that follow are all put behind
    the longest stem, and a mask hides the padding between.
    """

    def __init__(self, model: Any, cache: _Room, shown: Tensor, places: Tensor, states: Tensor):
        self._model = model
        self._cache = cache
        self._shown = shown
        self._places = places
        self.states = states

    @classmethod
    def reading(
        cls,
        model: Qwen2VLForConditionalGeneration,
        stems: Sequence[Sequence[int]],
        pictures: dict[str, Tensor],
        repeats: Tensor,
        room: int,
    ) -> _Rows:
        """Reads each stem once; `repeats` rows then go on from it, by `room` tokens at most."""
        device = model.device
        ids, lengths = _padded(stems, device)
        longest = ids.shape[1]
        kinds = (ids == model.config.image_token_id).int()
        positions, deltas = model.model.get_rope_index(ids, kinds, pictures.get("image_grid_thw"))
        cache = DynamicCache(config=model.config)
        states = model.model(
            input_ids=ids, position_ids=positions, attention_mask=_NO_MASK, past_key_values=cache, **pictures
        ).last_hidden_state
        last = states[torch.arange(len(stems), device=device), lengths - 1]
        shown = torch.arange(longest + room, device=device) < lengths[:, None]
        shown[:, longest:] = True
        rows = torch.arange(len(stems), device=device).repeat_interleave(repeats)
        return cls(
            model, _Room(cache, rows, longest + room), shown[rows], (lengths[:, None] + deltas)[rows], last[rows]
        )

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows only."""
        self._cache.keep(rows)
        self._shown = self._shown[rows]
        self._places = self._places[rows]

    def go_on(self, tails: Sequence[Sequence[int]]) -> None:
        """Appends a row's own tokens to each; of some there may be none."""
        ids, lengths = _padded(tails, self.states.device)
        start, end = self._cache.used, self._cache.used + ids.shape[1]
        inside = torch.arange(ids.shape[1], device=ids.device)
        self._shown[:, start:end] = inside < lengths[:, None]
        causal = torch.ones(len(inside), end, dtype=torch.bool, device=ids.device).tril(start)
        states = self._read(ids, self._places + inside, self._shown[:, None, None, :end] & causal)
        last = states[torch.arange(len(tails), device=ids.device), (lengths - 1).clamp(min=0)]
        self.states = torch.where(lengths[:, None] > 0, last, self.states)
        self._places = self._places + lengths[:, None]

    def hear(self, tokens: Tensor) -> None:
        """Appends a token to each row."""
        mask = self._shown[:, None, None, : self._cache.used + 1]
        self.states = self._read(tokens[:, None], self._places, mask)[:, 0]
        self._places = self._places + 1

    def _read(self, ids: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """The states, (rows, tokens, hidden), of what all rows hear next."""
        language = self._model.model.language_model
        states: Tensor = language(
            inputs_embeds=language.embed_tokens(ids),
            position_ids=places.expand(3, -1, -1),
            attention_mask={"full_attention": mask},
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        self._cache.used += ids.shape[1]
        return states


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids, (rows, longest), filled up on the right by any; and how many each row has."""
    lengths = [len(row) for row in rows]
    ids = torch.tensor([[*row, *[0] * (max(lengths) - len(row))] for row in rows], device=device)
    return ids, torch.tensor(lengths, device=device)


_NO_MASK = {"full_attention": None}
"""Plain causal attention: transformers then leaves the mask to the attention kernel."""


class _Room:
    """The part of transformers' Cache that decoding takes, with its memory set aside at once.

    DynamicCache copies all keys and values at every token.
    """

    def __init__(self, read: DynamicCache, rows: Tensor, room: int):
        self.used = read.get_seq_length()
        self._keys = [self._copied(layer.keys, rows, room) for layer in read.layers]
        self._values = [self._copied(layer.values, rows, room) for layer in read.layers]

    def update(self, keys: Tensor, values: Tensor, layer: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Appends the states of new tokens; returns all, each (rows, heads, tokens, size)."""
        end = self.used + keys.shape[2]
        self._keys[layer][:, :, self.used : end] = keys
        self._values[layer][:, :, self.used : end] = values
        return self._keys[layer][:, :, :end], self._values[layer][:, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows only."""
        for states in (self._keys, self._values):
            for layer, whole in enumerate(states):
                states[layer] = self._copied(whole, rows, whole.shape[2])

    def _copied(self, states: Tensor, rows: Tensor, room: int) -> Tensor:
        """What is used of these rows, at the beginning of so much room."""
        _, heads, _, size = states.shape
        whole = states.new_empty((len(rows), heads, room, size))
        torch.index_select(states[:, :, : self.used], 0, rows, out=whole[:, :, : self.used])
        return whole
