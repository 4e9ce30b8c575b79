"""How are answers said, token by token? A prompt is read once for all its answers; what has ended drops out."""

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
    generator, up to and including one of the tokens `ends`, and `max_new_tokens` of them at most."""

    ends: tuple[int, ...]
    max_new_tokens: int
    temperature: float = 0.0

    def choose(self, logits: Tensor) -> Tensor:
        """(rows, vocabulary) to (rows,)."""
        if self.temperature == 0.0:
            return logits.argmax(dim=-1)
        return torch.multinomial((logits.float() / self.temperature).softmax(dim=-1), 1)[:, 0]


@torch.no_grad()
def say(
    model: Qwen2VLForConditionalGeneration,
    prompts: Sequence[Sequence[int]],
    pictures: dict[str, Tensor],
    speech: Speech,
    copies: Sequence[int] | None = None,
) -> list[list[int]]:
    """The answers' tokens: `copies` of them to each prompt (one, if not given), those to a prompt together.

    `prompts` are token ids, `pictures` the image processor's tensors for all of them in order. As transformers'
    `generate` (5.23), whose loop attends to padding on the left, copies the whole cache at every token and goes on
    with every row until the last has ended.
    """
    device = model.device
    repeats = torch.tensor(copies or [1] * len(prompts), device=device)
    speaking = _Rows.reading(model, prompts, {k: v.to(device) for k, v in pictures.items()}, repeats, speech)
    ends = torch.tensor(speech.ends, device=device)
    said = torch.full((int(repeats.sum()), speech.max_new_tokens), speech.ends[0], device=device)
    rows = torch.arange(len(said), device=device)  # of `said`, for each row of `speaking`
    lengths = torch.full((len(said),), speech.max_new_tokens, device=device)
    ended = torch.zeros(len(said), dtype=torch.bool, device=device)
    for position in range(speech.max_new_tokens):
        tokens = speech.choose(model.lm_head(speaking.states))
        said[rows[~ended], position] = tokens[~ended]
        now = torch.isin(tokens, ends)
        lengths[rows[~ended & now]] = position + 1
        ended |= now
        left = int((~ended).sum())
        if left == 0 or position + 1 == speech.max_new_tokens:
            break
        if left <= _CROWDED * len(ended):
            kept = (~ended).nonzero()[:, 0]
            speaking.keep(kept)
            rows, tokens, ended = rows[kept], tokens[kept], ended[kept]
        speaking.hear(tokens)
    return [ids[:length] for ids, length in zip(said.tolist(), lengths.tolist(), strict=True)]


class _Rows:
    """Answers in the making: what a model has read of each, and `states`, (rows, hidden), for the next token.

    Prompts are padded on the right, so that reading them takes no mask; the tokens that follow are all put behind
    the longest prompt, and a mask hides the padding between.
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
        prompts: Sequence[Sequence[int]],
        pictures: dict[str, Tensor],
        repeats: Tensor,
        speech: Speech,
    ) -> _Rows:
        """Reads each prompt once; `repeats` rows then go on from it."""
        device = model.device
        lengths = torch.tensor([len(ids) for ids in prompts], device=device)
        longest = int(lengths.max())
        ids = torch.full((len(prompts), longest), speech.ends[0], device=device)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt)] = torch.tensor(prompt, device=device)
        kinds = (ids == model.config.image_token_id).int()
        positions, deltas = model.model.get_rope_index(ids, kinds, pictures.get("image_grid_thw"))
        cache = DynamicCache(config=model.config)
        states = model.model(
            input_ids=ids, position_ids=positions, attention_mask=_NO_MASK, past_key_values=cache, **pictures
        ).last_hidden_state
        last = states[torch.arange(len(prompts), device=device), lengths - 1]
        room = longest + speech.max_new_tokens
        shown = torch.arange(room, device=device) < lengths[:, None]
        shown[:, longest:] = True
        return cls(
            model,
            _Room(cache, repeats, room),
            shown.repeat_interleave(repeats, dim=0),
            (lengths[:, None] + deltas).repeat_interleave(repeats, dim=0),
            last.repeat_interleave(repeats, dim=0),
        )

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows only."""
        self._cache.keep(rows)
        self._shown = self._shown[rows]
        self._places = self._places[rows]

    def hear(self, tokens: Tensor) -> None:
        """Appends a token to each row."""
        language = self._model.model.language_model
        mask = self._shown[:, None, None, : self._cache.used + 1]
        self.states = language(
            inputs_embeds=language.embed_tokens(tokens[:, None]),
            position_ids=self._places.expand(3, -1, -1),
            attention_mask={"full_attention": mask},
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state[:, 0]
        self._cache.used += 1
        self._places = self._places + 1


_NO_MASK = {"full_attention": None}
"""Plain causal attention: transformers then leaves the mask to the attention kernel."""


class _Room:
    """The part of transformers' Cache that decoding takes, with its memory set aside at once.

    DynamicCache copies all keys and values at every token.
    """

    def __init__(self, read: DynamicCache, repeats: Tensor, room: int):
        self.used = read.get_seq_length()
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        for layer in read.layers:
            for kept, states in ((self._keys, layer.keys), (self._values, layer.values)):
                _, heads, length, size = states.shape
                whole = states.new_empty((int(repeats.sum()), heads, room, size))
                whole[:, :, :length] = states.repeat_interleave(repeats, dim=0)
                kept.append(whole)

    def update(self, keys: Tensor, values: Tensor, layer: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Appends one token's states; returns all, each (rows, heads, tokens, size)."""
        end = self.used + 1
        self._keys[layer][:, :, self.used : end] = keys
        self._values[layer][:, :, self.used : end] = values
        return self._keys[layer][:, :, :end], self._values[layer][:, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows only."""
        for states in (self._keys, self._values):
            for layer, whole in enumerate(states):
                states[layer] = whole[rows]
