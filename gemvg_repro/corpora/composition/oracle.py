"""What does a query ask for? Worked out from its words and the annotation, for the checker.

It shares the wordings with the composers, but none of their code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from ...grounding.number_words import CARDINALS
from ..frames import Frame, Question
from .composed import Composed
from .patterns import Patterns


class Untrue(ValueError):
    """What a sample says does not follow from the annotation; the message says what, and where."""


def require(true: bool, what: str) -> None:
    """Raises Untrue, with what is not so."""
    if not true:
        raise Untrue(what)


class Meaning:
    """What a query asks for: in which pictures, by which test of an instance; worked out from the annotation."""

    def __init__(
        self, sample: Composed, frames: list[Frame], slots: dict[str, str],
        question: Callable[[str], Question | None], known: Patterns, families: dict[str, list[str]],
    ) -> None:  # fmt: skip
        self.patterns, self.families = known, families
        self.names: set[str] = set()
        self.described: dict[int, tuple[str, set[str]]] = {}
        self.premises = 1
        self.right: str | None = None
        self.sample, self.frames, self.slots, self._question = sample, frames, slots, question
        self.asked = list(range(len(frames)))
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
        self.asked.remove(at)
        self._take_value()

    def by_link(self) -> None:
        at, second, third = (int(self.slots[name]) - 1 for name in ("picture", "second", "third"))
        require(sorted((at, second, third)) == self.asked, "the pictures that are spoken of are not those shown")
        first = self._described(at, self.slots["phrase"], self.slots["link"])
        link = self._value(first, "link")
        self.reference, self.reference_at = self._described(second, link, self.slots["attribute"]), second
        self.asked, self.premises = [third], 2
        self._take_value()

    def _described(self, at: int, phrase: str, attribute: str) -> Any:
        """The one object of picture `at` that a phrase describes; what is asked next is its other attribute."""
        require(at < len(self.frames), "the reference is in a picture that is not there")
        shown = self.frames[at]
        found = [i for i in shown.instances if i.box is not None and phrase in phrases_of(i)]
        require(len(found) == 1 and not {phrase, "*"} & shown.unclear, f"{phrase!r} is not just one object there")
        require(phrase not in self.families.get(attribute, ()), "the first hop is the second")
        self.described[at] = phrase, phrases_of(found[0])
        return found[0]

    def _take_value(self) -> None:
        """The phrase that the reference has of the attribute which is asked for."""
        self.phrase = self._value(self.reference)
        self.names = phrases_of(self.reference)

    def _value(self, instance: Any, slot: str = "attribute") -> str:
        found = phrases_of(instance) & {*self.families.get(self.slots[slot], ())}
        require(len(found) == 1, f"of {self.slots[slot]!r} the object has {sorted(found)}, which is not one")
        return found.pop()

    def by_same(self) -> None:
        require(len(self.frames) == 2, "there are not two pictures")
        alike = len({self._value(instance) for instance in self._singles()}) == 1
        self._choose("yes" if alike else "no", {"yes", "no"})

    def by_different(self) -> None:
        looks = [frozenset(phrases_of(instance)) for instance in self._singles()]
        odd = [n for n, look in enumerate(looks) if looks.count(look) == 1]
        require(len(looks) == 3 and len(odd) == 1, "not just one of three pictures is different")
        self._choose(f"Picture {odd[0] + 1}", {f"Picture {n + 1}" for n in range(3)})

    def by_count(self) -> None:
        self.by_phrase()
        number = sum(len(self.wanted(n)) for n in self.asked)
        self._choose(CARDINALS[number], {*CARDINALS})

    def _singles(self) -> list[Any]:
        """The one object of each picture, which are not asked for; the chain says what each is."""
        found = []
        for n in self.asked:
            self._take_only(n)
            found.append(self.reference)
        self.asked, self.premises, self.reference = [], len(found), None
        return found

    def _choose(self, right: str, known: set[str]) -> None:
        """Holds the sample's letter against the right answer."""
        options = dict(re.findall(r"([A-H])\. (.+?)(?= [A-H]\. |$)", self.slots["options"]))
        require(list(options) == list("ABCDEFGH"[: len(options)]), "the options are not lettered in order")
        require(len({*options.values()}) == len(options) > 1 and {*options.values()} <= known, "options that are none")
        given = options.get(self.sample.choice or "")
        require(given == right, f"{self.sample.choice} is {given!r}, but {right!r} is right")
        self.right = right

    def by_moving(self) -> None:
        self._in_time()
        if "picture" in self.slots:
            last = int(self.slots["picture"]) - 1
            require(last == len(self.frames) - 1, "what moved is not asked for in the last picture")
            self.asked = [last]
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
        """The instance that is pointed out, and nowhere else anything is."""
        for way, marks in self.patterns["marks"].items():
            for pattern in marks:
                if said := pattern.fullmatch(self.slots["marked"]):
                    self._point(way, said.groupdict())
        require(self.reference is not None, f"nothing is pointed out by {self.slots['marked']!r}")
        assert self.reference_at is not None
        self.asked.remove(self.reference_at)
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
        wanted = [v * 1000 for v in drawn] if drawn else [float(slots[c]) for c in ("x1", "y1", "x2", "y2")]
        allowed = 1e-6 if drawn else 1.0  # rounded, or widened where a side would vanish
        found = [
            i for i in self.frames[at].instances
            if i.box is not None and all(abs(1000 * v - w) <= allowed for v, w in zip(i.box, wanted, strict=True))
        ]  # fmt: skip
        require(len(found) > 0, "nothing is annotated where the reference is pointed out")
        alike = len({(i.category, i.identity) for i in found}) == 1
        require(alike, "two different objects are where the reference is pointed out")
        self.reference, self.reference_at = found[0], at

    def _take_only(self, at: int) -> None:
        found = [i for i in self.frames[at].instances if i.box is not None]
        alone = len(found) == 1 and not self.frames[at].unclear
        require(alone, f"picture {at + 1} shows not just the one object that is meant")
        self.reference, self.reference_at = found[0], at

    def wanted(self, n: int) -> list[Any]:
        """The instances asked for in picture n. Raises Untrue where the annotation does not settle them."""
        frame = self.frames[n]
        require(not {self.phrase, "*"} & frame.unclear, f"{self.phrase!r} is unclear in picture {n + 1}")
        if self.by_identity and self.reference is None:  # nothing moves
            return []
        if self.by_identity:
            about = [i for i in frame.instances if i.identity == self.reference.identity]
            require(len(about) == 1, f"the annotation does not settle where the object is in picture {n + 1}")
        else:
            about = [i for i in frame.instances if self.phrase in phrases_of(i)]
        return [i for i in about if i.box is not None]


def phrases_of(instance: Any) -> set[str]:
    """All that an object can be called."""
    return {instance.category, *instance.attributes} - {""}


def _moves(track: list[Any]) -> bool:
    """Whether an object is elsewhere from each picture to the next. Raises Untrue unless it then stays where it is."""
    far = [max(abs(v - w) for v, w in zip(a, b, strict=True)) for a, b in pairwise(track)]
    if min(far) >= 0.05:
        return True
    spread = max(max(side) - min(side) for side in zip(*track, strict=True))
    require(spread <= 0.01, "an object moves a little")
    return False


MEANINGS: dict[str, Callable[[Meaning], None]] = {
    "referential.phrase": Meaning.by_phrase,
    "semantic.category": Meaning.by_category,
    "semantic.attribute": Meaning.by_attribute,
    "semantic.common": Meaning.by_common,
    "spatial.same": Meaning.by_views,
    "temporal.same": Meaning.by_times,
    "temporal.moving": Meaning.by_moving,
    "temporal.moved": Meaning.by_moving,
    "reasoning.hops": Meaning.by_hops,
    "reasoning.link": Meaning.by_link,
    "understanding.same": Meaning.by_same,
    "understanding.different": Meaning.by_different,
    "understanding.count": Meaning.by_count,
    "reasoning.question": Meaning.by_question,
}
