"""Which attributes does an object's name imply? "red disc" implies "red object" and "disc".

A wording file may list the phrases of an attribute, of which every object has one ("red object", "blue object"): a name
implies a phrase if it has all its words but "object" ("red disc"). That nothing else in a frame is red follows only if
the name of every object there implies a colour; else all phrases of the attribute are unclear in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .frames import AnnotatedFrame, Instance

Families = Mapping[str, Sequence[str]]
"""The phrases of each attribute."""

_ANYTHING = "object"


def implies(name: str, phrase: str) -> bool:
    """Whether a name has all words of a phrase."""
    return set(phrase.split()) - {_ANYTHING} <= set(name.split())


def with_attributes(frame: AnnotatedFrame, families: Families) -> AnnotatedFrame:
    """The frame with the attributes that its objects' names imply; attributes that a name leaves open are unclear."""
    if not families:
        return frame
    instances = tuple(_with_implied(instance, families) for instance in frame.instances)
    unclear = {*frame.unclear}
    for phrases in families.values():
        for name in frame.unclear:
            unclear.update([p for p in phrases if implies(name, p)] or phrases)
        if any(i.visible and attribute_value(i, phrases) is None for i in instances):
            unclear.update(phrases)
    return replace(frame, instances=instances, unclear=frozenset(unclear))


def _with_implied(instance: Instance, families: Families) -> Instance:
    implied = [
        p for phrases in families.values() for p in phrases if any(implies(name, p) for name in instance.phrases)
    ]
    phrases = dict.fromkeys([*instance.attributes, *implied])
    phrases.pop(instance.category, None)
    return replace(instance, attributes=tuple(phrases))


def attribute_value(instance: Instance, phrases: Sequence[str]) -> str | None:
    """The one phrase of an attribute that describes the object; None unless exactly one does."""
    matching = [phrase for phrase in phrases if phrase in instance.phrases]
    return matching[0] if len(matching) == 1 else None
