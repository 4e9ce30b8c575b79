"""A preallocated KV cache whose rows hold a prefix and the tokens of several completions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache


class KVCache:
    """A preallocated KV cache with transformers' `update`; DynamicCache copies all keys and values at every token.

    A row holds `prefix` tokens, then the tokens of `width` completions, interleaved.

    Args:
        rows: (rows,), the number of each one's prefix.
        prefix: the tokens of the longest prefix.
        width: completions a row.
        steps: the most tokens of a completion.
    """

    def __init__(self, rows: Tensor, prefix: int, width: int, steps: int):
        self.prefix = self.used = prefix
        self.width = width
        self._rows = rows
        self._steps = steps
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def fill(self, prefilled: DynamicCache, first: int, count: int) -> None:
        """Takes the keys and values of `count` prefixes, of which the first has the number `first`, layer by layer."""
        of_part = (self._rows >= first) & (self._rows < first + count)
        tokens = prefilled.get_seq_length()
        for layer, read in enumerate(prefilled.layers):
            for states, new in ((self._keys, read.keys), (self._values, read.values)):
                if layer == len(states):
                    states.append(self._allocated(new, len(self._rows)))
                    states[layer][:, :, : self.prefix] = 0  # what is padding now is masked, but may not be NaN
                states[layer][of_part, :, :tokens] = new[self._rows[of_part] - first]

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
                states[layer] = self._allocated(whole, len(rows))
                torch.index_select(whole[:, :, :start], 0, rows, out=states[layer][:, :, :start])
                own = whole[:, :, start:end].view(every, heads, steps, before, size).index_select(0, rows)
                index = columns[:, None, None, :, None].expand(-1, heads, steps, -1, size)
                states[layer][:, :, start : self.used] = own.gather(3, index).flatten(2, 3)

    def _allocated(self, states: Tensor, rows: int) -> Tensor:
        """Memory for so many rows with the longest completions, of the heads, size and type of `states`."""
        _, heads, _, size = states.shape
        return states.new_empty((rows, heads, self.prefix + self._steps * self.width, size))
