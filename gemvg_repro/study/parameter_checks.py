"""How are the parameters of a notebook checked, and which do all have?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from ..corpora.manifest import MANIFEST
from ..files.validation import suggest
from .overrides import pairs, parsed
from .paths import absolute
from .profiles import check_name

P = TypeVar("P", bound="Parameters")

_PLAIN = (str, int, float, bool, list, dict, type(None))


class ParameterError(ValueError):
    """A notebook or a grid was given a parameter that does not exist, or a value that is not valid."""


class Parameters(BaseModel):
    """The parameters that all notebooks share; a notebook's `parameters` cell has just its model's fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    notebook: ClassVar[str]

    profile: str = "miniature"
    runs: str = "runs"

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """Validates the plain global variables of a notebook: call it in the cell after the parameters.

        Every public global that is a plain value counts, so that a misspelt parameter is found. Whatever a
        later cell remembers belongs on objects, or running this cell again takes it for a parameter.

        Raises:
            ParameterError: naming every wrong name or value, and the valid ones.
        """
        # `In` and `Out` are IPython's own plain globals.
        plain = {k: v for k, v in namespace.items() if type(v) in _PLAIN and k not in ("In", "Out")}
        return cls.check({k: v for k, v in plain.items() if not k.startswith("_")})

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Self:
        """The model of these values, or a ParameterError that names each wrong one and the valid ones."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            problems = "\n".join(f"  {_explain(e, tuple(cls.model_fields))}" for e in error.errors())
            raise ParameterError(
                f"{cls.notebook} cannot start:\n{problems}\n"
                f"Its parameters: {', '.join(cls.model_fields)}. "
                f"`papermill notebooks/{cls.notebook} --help-notebook` explains them."
            ) from None

    @property
    def given(self) -> Path | None:
        """The data that is given in place of the profile's own, absolute: a COCO-format file or a folder of shards."""
        data: str = getattr(self, "data", "")
        return absolute(data) if data else None

    @property
    def images_folder(self) -> Path | None:
        """The folder of the images of `data`, absolute; None where it is to be found."""
        images: str = getattr(self, "images", "")
        return absolute(images) if images else None

    def shared_with(self, kind: type[P]) -> P:
        """The parameters of another notebook that have the same values, where both have them."""
        return kind(**{k: v for k, v in dict(self).items() if k in kind.model_fields})

    @property
    def runs_folder(self) -> Path:
        """The folder of all run directories, absolute."""
        return absolute(self.runs)

    @field_validator("profile")
    @classmethod
    def _profile_exists(cls, name: str) -> str:
        check_name(name)
        return name

    @field_validator("data", check_fields=False)
    @classmethod
    def _data_exists(cls, data: str) -> str:
        given = absolute(data)
        if data and not ((given.is_file() and data.endswith(".json")) or (given / MANIFEST).is_file()):
            raise ValueError(
                f"{data!r} is no file and no folder of shards; expected a COCO-format .json file, a folder with a "
                f"{MANIFEST} (data.ipynb makes one from official files: -p roots), or '' for the profile's data"
            )
        return data

    @field_validator("images", check_fields=False)
    @classmethod
    def _images_exist(cls, images: str) -> str:
        if images and not absolute(images).is_dir():
            raise ValueError(f"{images!r} is no folder; expected the one that the images' paths in `data` start in")
        return images

    @model_validator(mode="after")
    def _images_are_those_of_a_file(self) -> Self:
        if getattr(self, "images", "") and not getattr(self, "data", "").endswith(".json"):
            raise ValueError("images goes with data, a COCO-format .json file, of whose images it is the folder")
        return self


class RunParameters(Parameters):
    """Of the notebooks that make a run.

    `overrides` are values in place of the profile's, by dotted name: NAME=VALUE, several with blanks between them, or a
    mapping.
    """

    overrides: str | dict[str, Any] = ""

    @field_validator("overrides")
    @classmethod
    def _overrides_by_name(cls, given: str | dict[str, Any]) -> str | dict[str, Any]:
        return parsed(given) or ""

    @property
    def overridden(self) -> dict[str, Any]:
        """The overrides by name."""
        return parsed(self.overrides)


def paths_by_name(given: str | dict[str, str], example: str) -> dict[str, str]:
    """NAME=PATH, several with blanks between them, by name."""
    if isinstance(given, dict):
        return given
    return {name: str(path) for name, path in pairs(given, f"NAME=PATH; expected such as '{example}'").items()}


def one_of(word: str, valid: tuple[str, ...]) -> str:
    """The word, if it is one of the valid ones; raises ValueError with all of them and the closest."""
    if word not in valid:
        raise ValueError(f"expected {', '.join(map(repr, valid))}{suggest(word, valid)}")
    return word


def _explain(error: ErrorDetails, fields: tuple[str, ...]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "parameters"
    if error["type"] == "extra_forbidden":
        return f"{name}: no such parameter{suggest(name, fields)}"
    valid = str(error.get("ctx", {}).get("expected", "")).replace(" or ", ", ").replace("'", "").split(", ")
    message = error["msg"].removeprefix("Value error, ")
    return f"{name} = {error['input']!r:.200}: {message:.500}{suggest(error['input'], valid)}"
