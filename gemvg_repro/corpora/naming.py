"""What does an object's name say of it? Phrases of attributes, beside those that its source has it by.

A wording file may list the phrases of an attribute, of which every object has one ("red object", "blue object"): a
phrase is said by a name that has all its words but "object" ("red disc"). That nothing else in a frame is red follows
only if the name of every object there says a colour; else all phrases of the attribute are unclear in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .frames import Frame, Instance

Families = Mapping[str, Sequence[str]]
"""The phrases of each attribute."""

_ANYTHING = "object"


def said(name: str, phrase: str) -> bool:
    """Whether a name has the words of a phrase."""
    return set(phrase.split()) - {_ANYTHING} <= set(name.split())


def spelled_out(frame: Frame, families: Families) -> Frame:
    """The frame with all that the names of its objects say, and what they leave open."""
    if not families:
        return frame
    instances = tuple(_described(instance, families) for instance in frame.instances)
    unclear = {*frame.unclear}
    for phrases in families.values():
        for name in frame.unclear:
            unclear.update([p for p in phrases if said(name, p)] or phrases)
        if any(i.visible and value(i, phrases) is None for i in instances):
            unclear.update(phrases)
    return replace(frame, instances=instances, unclear=frozenset(unclear))


def _described(instance: Instance, families: Families) -> Instance:
    more = [p for phrases in families.values() for p in phrases if any(said(name, p) for name in instance.phrases)]
    known = dict.fromkeys([*instance.attributes, *more])
    known.pop(instance.category, None)
    return replace(instance, attributes=tuple(known))


def value(instance: Instance, phrases: Sequence[str]) -> str | None:
    """The one phrase of an attribute that fits the object; None unless just one does."""
    found = [phrase for phrase in phrases if phrase in instance.phrases]
    return found[0] if len(found) == 1 else None
