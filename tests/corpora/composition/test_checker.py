"""The checker refuses every sort of untruth, in samples of every kind."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from gemvg_repro.corpora.cells import prove
from gemvg_repro.corpora.composition.composed import ComposedSample, ComposedTarget
from gemvg_repro.corpora.composition.oracle import Untrue
from gemvg_repro.corpora.composition.patterns import patterns
from gemvg_repro.corpora.composition.wording import FILE, wording
from gemvg_repro.corpora.index import Index

from .test_composers import CELLS, composed

Lie = Callable[[ComposedSample], ComposedSample | None]
"""A sample with a falsehood in it; None if this sort of it does not apply."""


def _target(change: Callable[[ComposedTarget], ComposedTarget]) -> Lie:
    return lambda s: replace(s, targets=(change(s.targets[0]), *s.targets[1:])) if s.targets else None


def _in_chain(pattern: str, other: Callable[[re.Match[str]], str]) -> Lie:
    def lie(sample: ComposedSample) -> ComposedSample | None:
        chain = re.sub(pattern, other, sample.chain, count=1)
        return replace(sample, chain=chain) if chain != sample.chain else None

    return lie


def _moved(found: ComposedTarget) -> ComposedTarget:
    x1, y1, x2, y2 = found.box
    return replace(found, box=(x1 * 0.99, y1, x2, y2))


def _swapped(sample: ComposedSample) -> ComposedSample | None:
    """Two pictures that both show nothing may be swapped without an untruth."""
    if len({t.picture for t in sample.targets} & {0, 1}) != 1:
        return None
    first, second, *rest = sample.pictures
    return replace(sample, pictures=(second, first, *rest))


def _mark_elsewhere(sample: ComposedSample) -> ComposedSample | None:
    if not any(p.mark for p in sample.pictures):
        return None
    pictures = [replace(p, mark=(0.1, 0.1, 0.23, 0.2) if p.mark else None) for p in sample.pictures]
    return replace(sample, pictures=tuple(pictures))


def _unmarked(sample: ComposedSample) -> ComposedSample | None:
    if not any(p.mark for p in sample.pictures):
        return None
    return replace(sample, pictures=tuple(replace(p, mark=None) for p in sample.pictures))


def _all_marked(sample: ComposedSample) -> ComposedSample:
    pictures = tuple(replace(p, mark=p.mark or (0.1, 0.1, 0.2, 0.2)) for p in sample.pictures)
    return replace(sample, pictures=pictures)


def _other_coordinates(sample: ComposedSample) -> ComposedSample | None:
    query = re.sub(r"\((\d+),", lambda m: f"({int(m[1]) + 3},", sample.query, count=1)
    return replace(sample, query=query) if query != sample.query else None


def _left_out(sample: ComposedSample) -> ComposedSample | None:
    """Where nothing moves, nothing does in fewer pictures."""
    last = f"Picture {len(sample.pictures)}"
    return replace(sample, pictures=sample.pictures[:-1]) if last in sample.query + sample.chain else None


LIES: dict[str, Lie] = {
    "box moved": _target(_moved),
    "target in another picture": _target(lambda t: replace(t, picture=(t.picture + 1) % 2)),
    "another annotation": _target(lambda t: replace(t, annotation=t.annotation + "0")),
    "target left out": lambda s: replace(s, targets=s.targets[1:]) if s.targets else None,
    "target twice": lambda s: replace(s, targets=(*s.targets, *s.targets[:1])) if s.targets else None,
    "target invented": lambda s: replace(s, targets=(*s.targets, ComposedTarget(0, "no such", (0.1, 0.1, 0.2, 0.2)))),
    "pictures swapped": _swapped,
    "picture twice": lambda s: replace(s, pictures=(s.pictures[0], s.pictures[0], *s.pictures[2:])),
    "picture left out": _left_out,
    "another file": lambda s: replace(s, pictures=(replace(s.pictures[0], path="x.jpg"), *s.pictures[1:])),
    "another size": lambda s: replace(s, pictures=(replace(s.pictures[0], width=3), *s.pictures[1:])),
    "unknown frame": lambda s: replace(s, pictures=(replace(s.pictures[0], frame="no"), *s.pictures[1:])),
    "mark elsewhere": _mark_elsewhere,
    "mark not drawn": _unmarked,
    "everything marked": _all_marked,
    "other coordinates": _other_coordinates,
    "query about something else": lambda s: replace(s, query="Find every \"nothing\"."),
    "another wording": lambda s: replace(s, template=f"{s.template.partition('/')[0]}/" + "01"[s.template[-1] == "0"]),
    "another kind": lambda s: replace(s, kind="spatial" if s.kind != "spatial" else "temporal"),
    "count wrong": _in_chain(r"\b(one|two|three)\b(?= )", lambda m: "four"),
    "place wrong": _in_chain(r"\b(top|bottom|left|right|centre)\b", lambda m: "bottom" if m[1] != "bottom" else "top"),
    "phrase wrong in the chain": _in_chain(r'"[^"]+"', lambda m: '"unicorn"'),
    "picture number wrong": _in_chain(r"Picture (\d)", lambda m: f"Picture {int(m[1]) + 6}"),
    "sentence left out": _in_chain(r"(?<=\.) [^.]+\.$", lambda m: ""),
    "sentence added": lambda s: replace(s, chain=s.chain + " So it is."),
    "sentence twice": _in_chain(r"(?<=\.)( [^.]+\.)$", lambda m: m[1] * 2),
    "no chain": lambda s: replace(s, chain=""),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_in_every_kind(indexes: dict[str, Index], lie: str) -> None:
    tried = 0
    for kind, source in CELLS:
        for sample in list(composed(indexes[source], kind, most=25, seed=3)):
            false = LIES[lie](sample)
            if false is None or false == sample:
                continue
            tried += 1
            with pytest.raises(Untrue):
                prove(false, indexes[source])
    assert tried > 10


def test_no_sentence_has_two_readings() -> None:
    slots = {
        "picture": 2,
        "phrase": "a b",
        "name": "c d",
        "count": "two",
        "place": "top left",
        "places": "centre, top left",
    }
    for name, templates in wording()["chains"].items():
        for template in templates:
            sentence = template.format(**slots)
            names = {n for n, known in patterns(FILE)["chains"].items() for p in known if p.fullmatch(sentence)}
            assert names == {name}
