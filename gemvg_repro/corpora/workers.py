"""Where do tasks run, in processes of their own or here, and who is told how far they are?"""

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
"""Takes a function of a module and its arguments."""

Progress = Callable[[str, int, int], None]
"""Told (what, done, of so many) now and then."""


@contextmanager
def pool(workers: int) -> Iterator[Submit]:
    """Runs tasks in so many processes, which end when this one does; with one, here, when they are submitted."""
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
    """In a worker: a parent that is killed says nothing to its workers, which would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    Thread(target=end, daemon=True).start()
