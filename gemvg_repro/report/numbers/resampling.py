"""How is a test set resampled? Scenes are drawn with replacement: the same draws for every variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Resampling:
    """How often each scene of a test set is drawn in each resample.

    Attributes:
        samples: (N, 3) table, index `sample`, columns `scene` (its code, 0 to C-1) and `kind`.
        draws: (R + 1, C); row 0 is the test set itself, so one computation gives value and resamples.
    """

    samples: pd.DataFrame
    draws: Array
    _known: dict[tuple[object, ...], tuple[pd.DataFrame, Any]] = field(default_factory=dict, repr=False, compare=False)

    def totals(self, columns: Array) -> Array:
        """Sums of per-sample columns (N, S) in each resample: (R + 1, S)."""
        scenes = self.samples["scene"].to_numpy()
        order = np.argsort(scenes, kind="stable")
        starts = np.searchsorted(scenes[order], np.arange(self.draws.shape[1]))
        return np.asarray(self.draws @ np.add.reduceat(columns[order], starts, axis=0))

    def once(self, table: pd.DataFrame, what: object, measure: Callable[[], Measured]) -> Measured:
        """What a run's table comes to in these resamples, measured once however many comparisons ask for it.

        Args:
            table: known by its identity, and kept with what is measured; so it must not be changed.
            what: hashable; which measure of it.
            measure: called the first time.
        """
        key = (id(table), what)
        if key not in self._known:
            self._known[key] = table, measure()
        measured: Measured = self._known[key][1]
        return measured


class Draws:
    """The resampling of every test set of a report, each drawn once.

    Args:
        resamples: R, how many resamples are drawn.
        seed: of the generator.
    """

    def __init__(self, resamples: int = 1000, seed: int = 0) -> None:
        self.resamples, self.seed = resamples, seed
        self._drawn: dict[tuple[str, ...], Resampling] = {}

    def __call__(self, scores: pd.DataFrame) -> Resampling:
        """The resampling of these samples, which is the same for every variant. Raises ValueError as `resampling`."""
        samples = tuple(sorted(scores["sample"]))
        if samples not in self._drawn:
            self._drawn[samples] = resampling(scores, self.resamples, self.seed)
        return self._drawn[samples]


def resampling(scores: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> Resampling:
    """Draws scenes with replacement: samples of one scene are dependent, so a scene is drawn as a whole.

    They are drawn within strata (a scene's most frequent kind), so that no resample loses a kind.

    Args:
        scores: one row per sample, with columns sample, scene, kind. Their order does not matter.
        resamples: R, how many resamples are drawn.
        seed: of the generator; the same seed and samples give the same draws.

    Raises:
        ValueError: a sample is scored twice.
    """
    samples = scores[["sample", "scene", "kind"]].set_index("sample").sort_index()
    if not samples.index.is_unique:
        twice = samples.index[samples.index.duplicated()][0]
        raise ValueError(f"sample {twice!r} is scored twice; score the predictions of this run again")
    scenes = pd.Series(pd.factorize(samples["scene"], sort=True)[0], index=samples.index)
    kinds = pd.factorize(samples["kind"], sort=True)[0]
    counts = np.zeros((scenes.nunique(), kinds.max(initial=0) + 1))
    np.add.at(counts, (scenes.to_numpy(), kinds), 1)
    strata = counts.argmax(axis=1)
    rng = np.random.default_rng(seed)
    draws = np.ones((resamples + 1, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        draws[1:, members] = drawn(rng, len(members), resamples)
    return Resampling(samples.assign(scene=scenes), draws)


def drawn(rng: np.random.Generator, n: int, resamples: int) -> Array:
    """How often each of n is drawn, (resamples, n): n - 1 draws, which together count as n.

    So the variance of a mean over resamples is unbiased, s²/n; n draws give (n - 1)/n of it, which is too little where
    strata are small (Rao and Wu, JASA 83, 1988). One scene alone is always drawn.
    """
    if n == 1:
        return np.ones((resamples, 1))
    return np.asarray(rng.multinomial(n - 1, np.full(n, 1 / n), size=resamples) * (n / (n - 1)))
