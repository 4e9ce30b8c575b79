"""Which values does a run have in place of its profile's? Each by its dotted name, such as `grpo.weights.count`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from ..files import yaml_numbers
from ..files.validation import suggest
from ..runs.directory import run_id

NOT_VARIED = ("name", "overrides")
"""Fields of a profile that are no values of it."""

LONGEST = 120
"""Of a run's name, so many characters say its overrides: file systems allow 255 of a name."""


def parsed(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that are given as a mapping, or as text: `grpo.rollouts=16 'grpo.optimiser.betas=[0.9, 0.99]'`.

    Raises:
        ValueError: a part of the text is no NAME=VALUE, or a name is given twice.
    """
    if not isinstance(given, str):
        return dict(given)
    example = "NAME=VALUE; expected such as 'grpo.rollouts=16 grpo.weights.count=0'"
    return {name: yaml_numbers.load(value) for name, value in pairs(given, example).items()}


def pairs(given: str, expected: str) -> dict[str, str]:
    """The parts of NAME=VALUE NAME=VALUE by name, quoted like a shell's where one has blanks.

    Raises:
        ValueError: a part is not as `expected`, or a name is given twice.
    """
    parts = [part.partition("=") for part in shlex.split(given)]
    if wrong := ["".join(part) for part in parts if not all(part)]:
        raise ValueError(f"{wrong[0]!r} is no {expected}")
    names = [name for name, _, _ in parts]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} is given twice")
    return {name: value for name, _, value in parts}


def text(overrides: Mapping[str, Any]) -> str:
    """The overrides as text that `parsed` reads."""
    return " ".join(shlex.quote(f"{name}={_text(value)}") for name, value in overrides.items())


def values(settings: Any, above: str = "") -> dict[str, Any]:
    """Every single value of a profile or of a section of it, by its dotted name."""
    if isinstance(settings, BaseModel):
        parts = {name: getattr(settings, name) for name in type(settings).model_fields}
    elif is_dataclass(settings):
        parts = {field.name: getattr(settings, field.name) for field in fields(settings)}
    elif isinstance(settings, Mapping) and settings:
        parts = {str(name): value for name, value in settings.items()}
    else:
        return {above: settings}
    leaves = (values(value, f"{above}.{name}" if above else name) for name, value in parts.items() if _varied(name))
    return {name: value for each in leaves for name, value in each.items()}


def flat(overrides: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides of single values: a mapping for a section, `grpo.weights: {count: 0}`, is taken apart.

    Args:
        overrides: as they are given.
        known: the profile's own `values`.

    Raises:
        ValueError: a name is not of `known`; the closest one is suggested.
    """
    single: dict[str, Any] = {}
    for name, value in overrides.items():
        if name in known:
            single[name] = value
        elif isinstance(value, Mapping) and any(each.startswith(f"{name}.") for each in known):
            single |= flat({f"{name}.{part}": each for part, each in value.items()}, known)
        else:
            raise ValueError(f"the profile has no value {name!r}{suggest(name, known)}")
    return single


def applied(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a profile's file with these values in place of its own; sections that it shares are copied."""
    changed = dict(content)
    for name, value in overrides.items():
        section, _, rest = name.partition(".")
        changed[section] = applied(changed.get(section) or {}, {rest: value}) if rest else value
    return changed


def within(overrides: Mapping[str, Any], sections: Iterable[str]) -> dict[str, Any]:
    """The overrides of values that are these, or lie in these sections."""
    heads = tuple(sections)
    return {
        name: value for name, value in overrides.items() if any(f"{name}.".startswith(f"{head}.") for head in heads)
    }


def suffix(overrides: Mapping[str, Any]) -> str:
    """What a run's name has of its overrides: `-grpo.weights.count=0`."""
    parts = (f"-{name}={_text(value)}".lower() for name, value in sorted(overrides.items()))
    whole = re.sub(r"[^a-z0-9_.=-]+", "_", "".join(parts))
    return whole if len(whole) <= LONGEST else f"{whole[:LONGEST]}-{run_id(overrides)}"


def variant(mode: str, overrides: Mapping[str, Any]) -> str:
    """A variant's name in the report: its mode and overrides, `hybrid, grpo.weights.count=0`."""
    return ", ".join([mode, *(f"{name}={_text(value)}" for name, value in sorted(overrides.items()))])


def _varied(name: str) -> bool:
    return name not in NOT_VARIED


def _text(value: Any) -> str:
    """As YAML writes it: 0 of 0.0, null of None."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_text(each)}' for name, each in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
