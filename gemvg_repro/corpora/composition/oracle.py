"""What is the correct answer to a query? Derived from its text and the annotation, for the checker.

It shares the wording file with the composers, but none of their code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from ...grounding.number_words import CARDINALS
from ..frames import AnnotatedFrame, SourceQuestion
from .composed import ComposedSample
from .patterns import Patterns


class Untrue(ValueError):
    """A statement of a sample does not follow from the annotation; the message names it."""


def require(true: bool, what: str) -> None:
    """Raises Untrue with this message unless the condition holds."""
    if not true:
        raise Untrue(what)


class Oracle:
    """The targets of a query: which instances in which images, derived from the annotation."""

    def __init__(
        self, sample: ComposedSample, frames: list[AnnotatedFrame], slots: dict[str, str],
        question: Callable[[str], SourceQuestion | None], known_patterns: Patterns, families: dict[str, list[str]],
    ) -> None:  # fmt: skip
        self.patterns, self.families = known_patterns, families
        self.names: set[str] = set()
        self.described: dict[int, tuple[str, set[str]]] = {}
        self.premises = 1
        self.correct_option: str | None = None
        self.sample, self.frames, self.slots, self._question = sample, frames, slots, question
        self.queried = list(range(len(frames)))
        self.reference: Any = None
        self.reference_at: int | None = None
        self.phrase = ""
        self.by_identity = False
        require(
            "marked" in slots or all(p.mark is None for p in sample.pictures), "a box is drawn that no word explains"
        )

    def by_phrase(self) -> None:
        self.phrase = self.slots["phrase"]
        self.premises = 0

    def by_category(self) -> None:
        self._find_reference()
        self.phrase = self.reference.category

    def by_attribute(self) -> None:
        self._find_reference()
        self._take_value()

    def by_hops(self) -> None:
        at = int(self.slots["picture"]) - 1
        self.reference, self.reference_at = self._described(at, self.slots["phrase"], self.slots["attribute"]), at
        self.queried.remove(at)
        self._take_value()

    def by_link(self) -> None:
        at, second, third = (int(self.slots[name]) - 1 for name in ("picture", "second", "third"))
        require(sorted((at, second, third)) == self.queried, "the pictures that are spoken of are not those shown")
        first = self._described(at, self.slots["phrase"], self.slots["link"])
        link = self._value(first, "link")
        self.reference, self.reference_at = self._described(second, link, self.slots["attribute"]), second
        self.queried, self.premises = [third], 2
        self._take_value()

    def _described(self, at: int, phrase: str, attribute: str) -> Any:
        """The one object of image `at` that a phrase describes; the query goes on to another attribute of it."""
        require(at < len(self.frames), "the reference is in a picture that is not there")
        frame = self.frames[at]
        matching = [i for i in frame.instances if i.box is not None and phrase in phrases_of(i)]
        require(len(matching) == 1 and not {phrase, "*"} & frame.unclear, f"{phrase!r} is not just one object there")
        require(phrase not in self.families.get(attribute, ()), "the first hop is the second")
        self.described[at] = phrase, phrases_of(matching[0])
        return matching[0]

    def _take_value(self) -> None:
        """Sets the phrase: the reference's value of the queried attribute."""
        self.phrase = self._value(self.reference)
        self.names = phrases_of(self.reference)

    def _value(self, instance: Any, slot: str = "attribute") -> str:
        values = phrases_of(instance) & {*self.families.get(self.slots[slot], ())}
        require(len(values) == 1, f"of {self.slots[slot]!r} the object has {sorted(values)}, which is not one")
        return values.pop()

    def by_same(self) -> None:
        require(len(self.frames) == 2, "there are not two pictures")
        alike = len({self._value(instance) for instance in self._singles()}) == 1
        self._choose("yes" if alike else "no", {"yes", "no"})

    def by_different(self) -> None:
        appearances = [frozenset(phrases_of(instance)) for instance in self._singles()]
        odd = [n for n, appearance in enumerate(appearances) if appearances.count(appearance) == 1]
        require(len(appearances) == 3 and len(odd) == 1, "not just one of three pictures is different")
        self._choose(f"Picture {odd[0] + 1}", {f"Picture {n + 1}" for n in range(3)})

    def by_count(self) -> None:
        self.by_phrase()
        number = sum(len(self.expected(n)) for n in self.queried)
        self._choose(CARDINALS[number], {*CARDINALS})

    def _singles(self) -> list[Any]:
        """The one object of each image; none is a target, and the chain names each."""
        singles = []
        for n in self.queried:
            self._take_only(n)
            singles.append(self.reference)
        self.queried, self.premises, self.reference = [], len(singles), None
        return singles

    def _choose(self, correct: str, allowed: set[str]) -> None:
        """Compares the sample's letter with the correct option."""
        options = dict(re.findall(r"([A-H])\. (.+?)(?= [A-H]\. |$)", self.slots["options"]))
        require(list(options) == list("ABCDEFGH"[: len(options)]), "the options are not lettered in order")
        require(
            len({*options.values()}) == len(options) > 1 and {*options.values()} <= allowed, "options that are none"
        )
        chosen_option = options.get(self.sample.choice or "")
        require(chosen_option == correct, f"{self.sample.choice} is {chosen_option!r}, but {correct!r} is right")
        self.correct_option = correct

    def by_moving(self) -> None:
        self._in_time()
        if "picture" in self.slots:
            last = int(self.slots["picture"]) - 1
            require(last == len(self.frames) - 1, "what moved is not asked for in the last picture")
            self.queried = [last]
        tracks: dict[str, list[Any]] = {}
        for frame in self.frames:
            require(not frame.unclear, "something in a frame is unclear")
            for instance in frame.instances:
                tracks.setdefault(instance.identity, []).append(instance.box)
        whole = all(len(track) == len(self.frames) and None not in track for track in tracks.values())
        require(len(self.frames) > 1 and whole and "" not in tracks, "not every object is tracked in every picture")
        moving = [name for name, track in tracks.items() if _moves(track)]
        require(len(moving) < 2, "more than one object moves")
        self.by_identity = True
        if moving:
            self.reference = next(i for i in self.frames[0].instances if i.identity == moving[0])
            self.phrase, self.names = self.reference.category, phrases_of(self.reference)

    def by_common(self) -> None:
        sets = [{i.category for i in f.instances if i.box is not None} for f in self.frames]
        shared = set.intersection(*(s | f.unclear for s, f in zip(sets, self.frames, strict=True)))
        require(len(self.frames) > 1 and not any("*" in f.unclear for f in self.frames), "something is not known")
        require(len(shared) == 1, f"in common are {sorted(shared)}, which is not one category")
        self.phrase = shared.pop()

    def by_views(self) -> None:
        self._find_reference()
        require(len({(f.scene, f.time) for f in self.frames}) == 1, "the pictures are not of one moment")
        require(len({f.view for f in self.frames}) == len(self.frames), "two pictures are of one camera")
        self._same_object()

    def by_times(self) -> None:
        self._find_reference()
        self._in_time()
        self._same_object()

    def by_question(self) -> None:
        question = self._question(self.sample.question)
        require(question is not None, f"there is no question {self.sample.question!r}")
        assert question is not None
        require(question.text == self.slots["question"], "the question is not the source's")
        require({f.id for f in self.frames} <= set(question.frames), "a picture is not of the question's situations")
        self._in_time()
        self.phrase = question.answer

    def _in_time(self) -> None:
        require(len({(f.scene, f.view) for f in self.frames}) == 1, "the pictures are not of one camera")
        times = [f.time for f in self.frames]
        require(sorted(set(times)) == times, "the pictures are not in the order of time")

    def _same_object(self) -> None:
        self.by_identity = True
        self.phrase = self.reference.category
        require(self.reference.identity != "", "the reference has no identity")

    def _find_reference(self) -> None:
        """Sets the reference: the one instance that the query marks."""
        for way, marks in self.patterns["marks"].items():
            for pattern in marks:
                if match := pattern.fullmatch(self.slots["marked"]):
                    self._point(way, match.groupdict())
        require(self.reference is not None, f"nothing is pointed out by {self.slots['marked']!r}")
        assert self.reference_at is not None
        self.queried.remove(self.reference_at)
        for n, picture in enumerate(self.sample.pictures):
            require(picture.mark is None or n == self.reference_at, "a box is drawn in another picture")

    def _point(self, way: str, slots: dict[str, str]) -> None:
        at = int(slots["picture"]) - 1
        require(at < len(self.frames), "the reference is in a picture that is not there")
        if way == "alone":
            self._take_only(at)
            return
        drawn = self.sample.pictures[at].mark
        require((drawn is not None) == (way == "drawn"), "the words and the drawn box do not agree")
        corners = [v * 1000 for v in drawn] if drawn else [float(slots[c]) for c in ("x1", "y1", "x2", "y2")]
        allowed = 1e-6 if drawn else 1.0  # rounded, or widened where a side would vanish
        matching = [
            i for i in self.frames[at].instances
            if i.box is not None and all(abs(1000 * v - w) <= allowed for v, w in zip(i.box, corners, strict=True))
        ]  # fmt: skip
        require(len(matching) > 0, "nothing is annotated where the reference is pointed out")
        alike = len({(i.category, i.identity) for i in matching}) == 1
        require(alike, "two different objects are where the reference is pointed out")
        self.reference, self.reference_at = matching[0], at

    def _take_only(self, at: int) -> None:
        visible = [i for i in self.frames[at].instances if i.box is not None]
        alone = len(visible) == 1 and not self.frames[at].unclear
        require(alone, f"picture {at + 1} shows not just the one object that is meant")
        self.reference, self.reference_at = visible[0], at

    def expected(self, n: int) -> list[Any]:
        """The targets in image n. Raises Untrue where the annotation leaves them open."""
        frame = self.frames[n]
        require(not {self.phrase, "*"} & frame.unclear, f"{self.phrase!r} is unclear in picture {n + 1}")
        if self.by_identity and self.reference is None:  # nothing moves
            return []
        if self.by_identity:
            matching = [i for i in frame.instances if i.identity == self.reference.identity]
            require(len(matching) == 1, f"the annotation does not settle where the object is in picture {n + 1}")
        else:
            matching = [i for i in frame.instances if self.phrase in phrases_of(i)]
        return [i for i in matching if i.box is not None]


def phrases_of(instance: Any) -> set[str]:
    """All phrases that refer to an instance."""
    return {instance.category, *instance.attributes} - {""}


def _moves(track: list[Any]) -> bool:
    """Whether an object is elsewhere from each picture to the next. Raises Untrue unless it then stays where it is."""
    far = [max(abs(v - w) for v, w in zip(a, b, strict=True)) for a, b in pairwise(track)]
    if min(far) >= 0.05:
        return True
    spread = max(max(side) - min(side) for side in zip(*track, strict=True))
    require(spread <= 0.01, "an object moves a little")
    return False


RESOLVERS: dict[str, Callable[[Oracle], None]] = {
    "referential.phrase": Oracle.by_phrase,
    "semantic.category": Oracle.by_category,
    "semantic.attribute": Oracle.by_attribute,
    "semantic.common": Oracle.by_common,
    "spatial.same": Oracle.by_views,
    "temporal.same": Oracle.by_times,
    "temporal.moving": Oracle.by_moving,
    "temporal.moved": Oracle.by_moving,
    "reasoning.hops": Oracle.by_hops,
    "reasoning.link": Oracle.by_link,
    "understanding.same": Oracle.by_same,
    "understanding.different": Oracle.by_different,
    "understanding.count": Oracle.by_count,
    "reasoning.question": Oracle.by_question,
}
