"""What is the data mixture? Quotas by kind and source, from a YAML recipe that is validated first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..files.validation import Refused
from ..grounding.samples import Kind
from .composition import wording
from .composition.composed import Rules

FILE = Path(__file__).with_name("recipe.yaml")
"""The paper's."""

Stage = Literal["sft", "cot_sft", "grpo"]
STAGES: tuple[Stage, ...] = ("sft", "cot_sft", "grpo")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Asks = Literal["attribute", "link", "movement", "options"]
"""The question of a cell in place of its kind's own: which objects share an attribute (directly or through a link),
what moves, or which option is right."""

_KINDS_ASKED: Mapping[Asks, tuple[Kind, ...]] = {
    "attribute": ("semantic", "reasoning"),
    "link": ("reasoning",),
    "movement": ("temporal",),
    "options": ("understanding",),
}


class Cell(_Strict):
    """A quota: a number of samples of a kind from a source, by the recipe's rules and its own.

    `stages` are shares in place of the recipe's.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    kind: Kind
    source: str
    asks: Asks | None = None
    count: int = Field(ge=0)
    counted_as: str | None = None
    rounds: int = Field(default=1, ge=1)
    balance: float = Field(default=1.0, ge=0, le=1)
    rules: Mapping[str, Any] = {}
    stages: Mapping[Stage, float] = {}

    @model_validator(mode="after")
    def _is_asked(self) -> Self:
        if self.asks and self.kind not in _KINDS_ASKED[self.asks]:
            raise ValueError(
                f"asks: {self.asks} goes with the kind {' or '.join(_KINDS_ASKED[self.asks])}, not {self.kind}"
            )
        return self


class CompositionRecipe(_Strict):
    """Cells, the paper's counts that they must add up to, the stages' shares, and the wording file.

    A sample has up to `turns` questions about its images. Cells count samples by their first question.
    """

    seed: int
    paper: Mapping[str, int]
    cells: tuple[Cell, ...]
    rules: Mapping[str, Any] = {}
    stages: Mapping[Stage, float]
    turns: int = Field(default=1, ge=1, le=16)
    shards: int = Field(ge=1, le=1024)
    wording: Path = wording.FILE

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        names = Counter(cell.name for cell in self.cells)
        if twice := [name for name, n in names.items() if n > 1]:
            raise ValueError(f"cell names must be unique; duplicated: {', '.join(twice)}")
        for count, expected in self.paper.items():
            actual = sum(cell.count for cell in self.cells if cell.counted_as == count)
            if actual != expected:
                raise ValueError(
                    f"the cells counted as {count} add up to {actual}, not to the {expected} under `paper`"
                )
        if unknown := {c.counted_as for c in self.cells} - {None, *self.paper}:
            raise ValueError(f"counted_as {', '.join(map(str, unknown))}: `paper` has no such count")
        for shares in (self.stages, *map(self.stages_of, self.cells)):
            if set(shares) != set(STAGES) or not all(0 <= share <= 1 for share in shares.values()):
                raise ValueError(f"stages: expected a share from 0 to 1 for each of {', '.join(STAGES)}")
            if shares["cot_sft"] + shares["grpo"] > 1:
                raise ValueError("stages: cot_sft and grpo share no sample, so their shares may not exceed 1 together")
        for cell in self.cells:
            self.rules_of(cell)
        return self

    def stages_of(self, cell: Cell) -> Mapping[Stage, float]:
        """The share of a cell that each stage trains on."""
        return {**self.stages, **cell.stages}

    def rules_of(self, cell: Cell) -> Rules:
        """The rules that a cell is composed by."""
        return Rules.model_validate({**self.rules, **cell.rules})

    def supervised(self) -> CompositionRecipe:
        """What SFT alone is trained on, all of it in both of its stages: each cell's share of `sft`."""
        counts = [round(cell.count * self.stages_of(cell)["sft"]) for cell in self.cells]
        return self._only(counts, {"sft": 1.0, "cot_sft": 1.0, "grpo": 0.0}, self.turns)

    def prompts(self, number: int, turns: int) -> CompositionRecipe:
        """So many samples for GRPO alone, with up to `turns` questions each, mixed as each cell's share of it says."""
        weights = [cell.count * self.stages_of(cell)["grpo"] for cell in self.cells]
        ends = [round(number * sum(weights[: n + 1]) / sum(weights)) for n in range(len(weights))]
        counts = [end - start for start, end in pairwise([0, *ends])]
        return self._only(counts, {"sft": 0.0, "cot_sft": 0.0, "grpo": 1.0}, turns)

    def _only(self, counts: Sequence[int], stages: Mapping[Stage, float], turns: int) -> CompositionRecipe:
        cells = tuple(
            cell.model_copy(update={"count": count, "stages": stages})
            for cell, count in zip(self.cells, counts, strict=True)
        )
        return self.model_copy(update={"cells": cells, "turns": turns, "paper": _paper(self.paper, cells)})

    def scaled(self, share: float) -> CompositionRecipe:
        """The same recipe with a share of every count, rounded up; the paper's counts follow."""
        cells = tuple(c.model_copy(update={"count": -int(-c.count * share // 1)}) for c in self.cells)
        return self.model_copy(update={"cells": cells, "paper": _paper(self.paper, cells)})

    def without(self, kind: Kind | None) -> CompositionRecipe:
        """The same recipe without the cells of a kind, if one is given; the paper's counts follow."""
        cells = tuple(cell for cell in self.cells if cell.kind != kind)
        return self.model_copy(update={"cells": cells, "paper": _paper(self.paper, cells)})


def _paper(names: Iterable[str], cells: Sequence[Cell]) -> dict[str, int]:
    """The paper's counts, of the cells as they are counted."""
    return {name: sum(c.count for c in cells if c.counted_as == name) for name in names}


def load(file: Path = FILE) -> CompositionRecipe:
    """Reads a recipe, whose `wording` is relative to it. Raises Refused with what is wrong with it."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
        if isinstance(content, dict) and isinstance(content.get("wording"), str):
            content["wording"] = file.parent / content["wording"]
        recipe = CompositionRecipe.model_validate(content)
        wording.wording(recipe.wording)
        return recipe
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError, TypeError) as error:
        raise Refused(f"{file} is no recipe: {error}; {FILE} is one") from error
