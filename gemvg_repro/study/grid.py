"""What does a grid file ask: which values are varied, averaged over, held still, and on which machines?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..files import yaml_numbers
from ..files.validation import suggest
from .parameters import ParameterError
from .paths import absolute
from .resources import Resources
from .variants import TRAINED

AXES = ("mode", "seed", "profile", "data", "images", "steps", "samples")
"""What a grid may vary or fix."""

Values = Annotated[list[str | int], Field(min_length=1)]


class Grid(BaseModel):
    """A question: what is varied, what it must not hang on, what is held still."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scientific: Mapping[str, Values]
    nuisance: Mapping[str, Values] = {}
    fixed: Mapping[str, str | int] = {}
    resources: Resources = Resources()

    @field_validator("scientific", "nuisance", "fixed")
    @classmethod
    def _paths_are_absolute(cls, axes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its report reads the grid elsewhere."""

        def absolute_path(value: Any) -> Any:
            if isinstance(value, list):
                return [absolute_path(each) for each in value]
            return str(absolute(str(value))) if value else ""

        return {**axes, **{axis: absolute_path(axes[axis]) for axis in ("data", "images") if axis in axes}}

    @classmethod
    def load(cls, file: Path, seeds: Sequence[int] | None = None, settings: Sequence[str] = ()) -> Self:
        """Reads a grid file; `seeds` replaces its seeds, `settings` such as `steps=20` or `partition=gpu` the rest.

        Raises:
            ParameterError: naming the file, the wrong key or value, and the valid ones.
        """
        try:
            content = yaml_numbers.load(file.read_text(encoding="utf-8"))
            grid = cls.model_validate(_override(content, settings))
        except FileNotFoundError:
            raise ParameterError(
                f"there is no grid {file}; one comes with the project: sweeps/miniature.yaml"
            ) from None
        except yaml.YAMLError as error:
            raise ParameterError(f"{file} is not YAML: {error}") from None
        except ValidationError as error:
            raise ParameterError(f"{file} is no grid:\n{_explain(error)}") from None
        for axis in (*grid.scientific, *grid.nuisance, *grid.fixed):
            if axis not in AXES:
                raise ParameterError(f"{file}: no axis {axis!r}{suggest(axis, AXES)}. Axes: {', '.join(AXES)}")
        if seeds:
            where = "scientific" if "seed" in grid.scientific else "nuisance"
            grid = grid.model_copy(update={where: {**getattr(grid, where), "seed": list(seeds)}})
        return grid

    def dump(self) -> str:
        """The grid as a file that `load` reads."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def points(self) -> Iterator[dict[str, str | int]]:
        """Every combination of values, the scientific axes outermost within each nuisance combination."""
        axes = {**{k: [v] for k, v in self.fixed.items()}, **self.nuisance, **self.scientific}
        axes.setdefault("mode", list(TRAINED))
        for values in product(*axes.values()):
            yield dict(zip(axes, values, strict=True))


def _override(content: Any, settings: Sequence[str]) -> Any:
    """A grid's content with `key=value` settings: an axis is held at one value, anything else is a resource.

    Raises:
        ParameterError: naming the wrong setting and the valid keys.
    """
    if not settings or not isinstance(content, dict) or not all(isinstance(v or {}, dict) for v in content.values()):
        return content  # what is wrong with it is told by the model
    content = {key: dict(value or {}) for key, value in content.items()}
    for setting in settings:
        key, equals, text = setting.partition("=")
        valid = (*AXES, *(name for name in Resources.model_fields if name != "kinds"))
        if not equals or key not in valid:
            raise ParameterError(f"--set {setting}: expected KEY=VALUE{suggest(key, valid)}. Keys: {', '.join(valid)}")
        try:
            value = yaml_numbers.load(text)
        except yaml.YAMLError as error:
            raise ParameterError(f"--set {setting}: the value is not YAML: {error}") from None
        if key in AXES:
            for axes in ("scientific", "nuisance", "fixed"):
                content.get(axes, {}).pop(key, None)
            content.setdefault("fixed", {})[key] = value
        else:
            content.setdefault("resources", {})[key] = value
    return content


def _explain(error: ValidationError) -> str:
    return "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
