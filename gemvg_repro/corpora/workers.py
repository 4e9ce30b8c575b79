"""How are tasks run in worker processes, with progress reported?"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from threading import Thread
from typing import Any

Submit = Callable[..., "Future[Any]"]
"""Submits a module-level function with its arguments."""

Progress = Callable[[str, int, int], None]
"""Called with (task, done, total) now and then."""


@contextmanager
def pool(workers: int) -> Iterator[Submit]:
    """Runs tasks in `workers` processes, which end when this one does; with one, in this process on submission."""
    if workers > 1:
        context = multiprocessing.get_context("spawn")  # a fork of a threaded process may hang
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as processes:
            yield processes.submit
        return

    def now(task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(task(*arguments))
        return future

    yield now


def _end_with_parent() -> None:
    """In a worker: ends with a parent that is killed, which would otherwise leave it waiting for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    Thread(target=end, daemon=True).start()
