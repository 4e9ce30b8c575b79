"""What is a model evaluated on, in one mode, and how are its responses scored?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..benchmarks import sample_scores
from ..benchmarks.fingerprint import fingerprint
from ..benchmarks.generalised import score as generalised_score
from ..benchmarks.prompts import templates_at
from ..benchmarks.registry import benchmark
from ..benchmarks.responses import visible_text
from ..grounding.samples import Mode, Sample
from ..runs.layout import OFFICIAL, PREDICTIONS, SCORES


@dataclass(frozen=True)
class Task:
    """Samples that the model is evaluated on in one mode, and how the responses are scored.

    `table` makes one row per sample from the texts and their numbers of tokens; `official` makes the authors' score
    from the texts as their script reads them. A published benchmark has both. `max_new_tokens`: the authors' limit of
    an answer; without one the profile's holds, or what the longest true answer needs.
    """

    benchmark: str
    mode: Mode
    samples: Sequence[Sample]
    table: Callable[[Sequence[str], Sequence[int]], pd.DataFrame] | None = None
    official: Callable[[Sequence[str]], dict[str, Any]] | None = None
    max_new_tokens: int | None = None
    limited: bool = False

    @property
    def name(self) -> str:
        return f"{self.benchmark}-{self.mode}"

    def as_json(self) -> dict[str, Any]:
        """As result.json has it: what it is, and its files in the run directory, None of those that it has not."""
        return {
            "benchmark": self.benchmark,
            "mode": self.mode,
            "samples": len(self.samples),
            "limited": self.limited,
            "predictions": PREDICTIONS.name(self.name),
            "scores": SCORES.name(self.name) if self.table else None,
            "official": OFFICIAL.name(self.name) if self.official else None,
        }


def generalised(benchmark: str, mode: Mode, questions: Sequence[Sample]) -> Task:
    return Task(
        benchmark, mode, questions, lambda texts, tokens: generalised_score.score(questions, texts, mode, tokens)
    )


def published(name: str, mode: Mode, root: Path, most_pixels: int | None = None, most: int = 0) -> Task:
    """A benchmark in its authors' files, or about the first `most` samples of it."""
    chosen = benchmark(name)
    file = chosen.annotations(root)
    whole = chosen.load(file, None, most_pixels)
    data = chosen.head(whole, most) if most else whole
    templates = templates_at(root)

    def official(texts: Sequence[str]) -> dict[str, Any]:
        score = chosen.score(data, chosen.parse(data, texts))
        return {
            "headline": {metric: asdict(value) for metric, value in score.headline.items()},
            "official": score.official,
            "beside": score.beside,
            "rows": score.rows,
            "notes": [*score.notes],
            "fingerprint": fingerprint(name, file, chosen.counts(data)).as_json(),
            "asked_in": "its own asking.yaml" if len(templates.files) > 1 else "its authors' words",
        }

    def table(texts: Sequence[str], tokens: Sequence[int]) -> pd.DataFrame:
        parsed = chosen.parse(data, [visible_text(text, mode) for text in texts])
        return sample_scores.frame(chosen.sample_scores(data, parsed))

    limit = chosen.max_new_tokens(mode, templates)
    questions = chosen.samples(data, mode, templates)
    limited = bool(most) and len(questions) < len(chosen.samples(whole, mode, templates))
    return Task(name, mode, questions, table, official, limit, limited)
