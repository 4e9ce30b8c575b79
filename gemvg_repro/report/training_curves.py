"""How does a training go? Curves of its log, in a notebook: they move while it trains, and stay when it is done."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from IPython.display import HTML, display
from matplotlib.figure import Figure

from .numbers.collect import log_of
from .page.figure import Picture, png, style

EVERY_S = 15.0
"""Seconds from one picture to the next: drawing takes some .3 s of CPU from the training."""


@contextmanager
def moving(run: Path, every_s: float = EVERY_S) -> Iterator[None]:
    """While the block runs, shows the curves of the run in this directory: one output, which is replaced, so that the
    executed notebook keeps the last picture only."""
    output = display(HTML("The curves begin with the first steps."), display_id=True)  # type: ignore[no-untyped-call]
    done = threading.Event()

    def watch() -> None:
        steps = 0
        while not done.wait(every_s):
            log = log_of(run)
            if len(log) > steps:
                steps = len(log)
                output.update(curves(log))

    # In the context of the cell: its kernel then sends the pictures to this cell's output.
    watcher = threading.Thread(target=contextvars.copy_context().run, args=(watch,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        if len(log := log_of(run)):
            output.update(curves(log))


def curves(log: pd.DataFrame) -> Picture:
    """The loss of supervised finetuning, or the reward of GRPO with each of its terms and its KL; greedy F1."""
    names = [
        name for name in map(str, log)
        if name in ("loss", "token_accuracy", "kl") or name.startswith(("reward", "greedy/f1"))
    ]  # fmt: skip
    with style():
        figure = Figure(figsize=(8.4, 1.5 * -(-len(names) // 2) + 0.3), layout="constrained")
        panels = list(figure.subplots(-(-len(names) // 2), 2, squeeze=False, sharex=True).flat)
        for axes, name in zip(panels, names, strict=False):
            values = log[name].dropna()
            axes.plot(values.index, values, linewidth=0.7, alpha=0.35, color="#0072b2")
            smooth = values.rolling(max(1, len(values) // 20), center=True, min_periods=1).mean()
            axes.plot(smooth.index, smooth, color="#0072b2", marker="o" if len(values) < 20 else None, markersize=3)
            axes.set_title(name, parse_math=False)
        for axes in panels[len(names) :]:
            axes.remove()
        figure.supxlabel("optimiser step", fontsize=9, color="#444444")
    total = f" of {log['total_steps'].iloc[-1]:,}" if "total_steps" in log else ""
    caption = f"Step {log.index[-1]:,}{total}: every step (faint), and the moving mean."
    return Picture(caption, png(figure))
