"""Counts the bytes that a computation holds at its peak, on tensors without memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages of the tensors that are made within it.

    torch.distributed._tools.mem_tracker (2.13) does the same by module, and fails on frozen weights.

    Args:
        outside: tensors from before, which do not count.

    Attributes:
        now: the bytes that are held.
        peak: the most that were, since it was last set.
    """

    def __init__(self, outside: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._outside = [tensor.untyped_storage() for tensor in outside]
        self._held = {id(storage) for storage in self._outside}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return output

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key not in self._held:
            self._held.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._remove, key, size).atexit = False

    def _remove(self, key: int, size: int) -> None:
        self._held.discard(key)
        self.now -= size
