"""Is a composed sample true? Proved from its words and the annotation alone, for each one.

The checker shares the wordings (a wording file) with the composers, but none of their code: it reads the query and
every sentence of the chain back, works out from the annotated frames what they mean, and compares. It proves that

- the pictures are different frames of the source, as described, and stand in the relation that the query states;
- the targets are exactly the annotations that the query asks for, with their boxes, and nothing is unclear;
- the chain says something about every picture that is asked about, once, and every count, place, category and
  absence that it states is so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..frames import Conversation, Frame, Question
from .composed import Composed

_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip

_SLOTS = {
    "phrase": r'[^"]+?',
    "question": r'[^"]+?',
    "picture": r"[1-9][0-9]?",
    "count": r"[a-z]+|[0-9]+",
    "place": r"[a-z]+(?: [a-z]+)?",
    "places": r"[a-z]+(?: [a-z]+)?(?:, [a-z]+(?: [a-z]+)?)*",
    "marked": r".+?",
} | {corner: "[0-9]{1,4}" for corner in ("x1", "y1", "x2", "y2")}


class Untrue(ValueError):
    """What a sample says does not follow from the annotation; the message says what, and where."""


Patterns = dict[str, dict[str, list[re.Pattern[str]]]]


@cache
def patterns(file: Path) -> Patterns:
    """The wordings of a file as patterns that find their slots."""
    content = yaml.safe_load(file.read_text("utf-8"))
    return {
        group: {name: [re.compile(_pattern(text)) for text in texts] for name, texts in names.items()}
        for group, names in content.items()
    }


def _pattern(template: str) -> str:
    """A phrase without quotation marks around it ends at a full stop, or it would reach into the next sentence."""
    slots = _SLOTS if '"{phrase}"' in template else _SLOTS | {"phrase": r'[^".]+?'}
    parts = re.split(r"\{(\w+)\}", template)
    return "".join(f"(?P<{part}>{slots[part]})" if n % 2 else re.escape(part) for n, part in enumerate(parts))


def check(
    sample: Composed, frame: Callable[[str], Frame | None], question: Callable[[str], Question | None],
    conversation: Callable[[str], Conversation | None], wording: Path,
) -> None:  # fmt: skip
    """Raises Untrue unless everything that the sample says is so.

    `frame`, `question` and `conversation` look up the annotation by the id in the source; `wording` is the file of
    the words that it was composed in.
    """
    frames = [_shown(sample, n, frame) for n in range(len(sample.pictures))]
    _require(len({f.id for f in frames}) == len(frames), "a frame is shown twice")
    if sample.kind == "understanding":
        _as_said(sample, conversation(sample.question))
        return
    _require(not sample.turns, "a question of grounding has turns of a conversation")
    name, _, number = sample.template.partition("/")
    _require(name.partition(".")[0] == sample.kind, "the wording is of another kind")
    known = patterns(wording)
    wordings = known["queries"].get(name, [])
    _require(number.isdecimal() and int(number) < len(wordings), f"there is no wording {sample.template!r}")
    said = wordings[int(number)].fullmatch(sample.query)
    _require(said is not None, f"the query is not in its wording: {sample.query!r}")
    assert said is not None
    meaning = _Meaning(sample, frames, said.groupdict(), question, known)
    _MEANINGS[name](meaning)
    _targets(sample, frames, meaning)
    _chain(sample.chain, meaning)


def _as_said(sample: Composed, said: Conversation | None) -> None:
    """That it is the source's conversation, word for word, about the same pictures in their order."""
    _require(said is not None, f"there is no conversation {sample.question!r}")
    assert said is not None
    _require(tuple(p.frame for p in sample.pictures) == said.images, "the pictures are not those of the conversation")
    _require(all(p.mark is None for p in sample.pictures), "a box is drawn that no word explains")
    _require(sample.turns == said.turns and sample.query == said.turns[0][0], "the words are not the conversation's")
    _require(not (sample.targets or sample.chain or sample.template), "a conversation has no targets, chain or wording")


def _require(true: bool, what: str) -> None:
    if not true:
        raise Untrue(what)


def _shown(sample: Composed, n: int, frame: Callable[[str], Frame | None]) -> Frame:
    picture = sample.pictures[n]
    found = frame(picture.frame)
    if found is None:
        raise Untrue(f"picture {n + 1} is no frame of the source: {picture.frame}")
    described = (picture.path, picture.member, picture.width, picture.height)
    _require(
        described == (found.path, found.member, found.width, found.height), f"picture {n + 1} is described wrongly"
    )
    return found


class _Meaning:
    """What a query asks for: in which pictures, by which test of an instance; worked out from the annotation."""

    def __init__(
        self, sample: Composed, frames: list[Frame], slots: dict[str, str],
        question: Callable[[str], Question | None], known: Patterns,
    ) -> None:  # fmt: skip
        self.patterns = known
        self.sample, self.frames, self.slots, self._question = sample, frames, slots, question
        self.asked = list(range(len(frames)))
        self.reference: Any = None
        self.reference_at: int | None = None
        self.phrase = ""
        self.by_identity = False
        _require(
            "marked" in slots or all(p.mark is None for p in sample.pictures), "a box is drawn that no word explains"
        )

    def by_phrase(self) -> None:
        self.phrase = self.slots["phrase"]

    def by_category(self) -> None:
        self._find_reference()
        self.phrase = self.reference.category

    def by_common(self) -> None:
        sets = [{i.category for i in f.instances if i.box is not None} for f in self.frames]
        shared = set.intersection(*(s | f.unclear for s, f in zip(sets, self.frames, strict=True)))
        _require(len(self.frames) > 1 and not any("*" in f.unclear for f in self.frames), "something is not known")
        _require(len(shared) == 1, f"in common are {sorted(shared)}, which is not one category")
        self.phrase = shared.pop()

    def by_views(self) -> None:
        self._find_reference()
        _require(len({(f.scene, f.time) for f in self.frames}) == 1, "the pictures are not of one moment")
        _require(len({f.view for f in self.frames}) == len(self.frames), "two pictures are of one camera")
        self._same_object()

    def by_times(self) -> None:
        self._find_reference()
        self._in_time()
        self._same_object()

    def by_question(self) -> None:
        question = self._question(self.sample.question)
        _require(question is not None, f"there is no question {self.sample.question!r}")
        assert question is not None
        _require(question.text == self.slots["question"], "the question is not the source's")
        _require({f.id for f in self.frames} <= set(question.frames), "a picture is not of the question's situations")
        self._in_time()
        self.phrase = question.answer

    def _in_time(self) -> None:
        _require(len({(f.scene, f.view) for f in self.frames}) == 1, "the pictures are not of one camera")
        times = [f.time for f in self.frames]
        _require(sorted(set(times)) == times, "the pictures are not in the order of time")

    def _same_object(self) -> None:
        self.by_identity = True
        self.phrase = self.reference.category
        _require(self.reference.identity != "", "the reference has no identity")

    def _find_reference(self) -> None:
        """The instance that is pointed out, and nowhere else anything is."""
        for way, marks in self.patterns["marks"].items():
            for pattern in marks:
                if said := pattern.fullmatch(self.slots["marked"]):
                    self._point(way, said.groupdict())
        _require(self.reference is not None, f"nothing is pointed out by {self.slots['marked']!r}")
        assert self.reference_at is not None
        self.asked.remove(self.reference_at)
        for n, picture in enumerate(self.sample.pictures):
            _require(picture.mark is None or n == self.reference_at, "a box is drawn in another picture")

    def _point(self, way: str, slots: dict[str, str]) -> None:
        at = int(slots["picture"]) - 1
        _require(at < len(self.frames), "the reference is in a picture that is not there")
        if way == "alone":
            self._take_only(at)
            return
        drawn = self.sample.pictures[at].mark
        _require((drawn is not None) == (way == "drawn"), "the words and the drawn box do not agree")
        wanted = [v * 1000 for v in drawn] if drawn else [float(slots[c]) for c in ("x1", "y1", "x2", "y2")]
        allowed = 1e-6 if drawn else 1.0  # rounded, or widened where a side would vanish
        found = [
            i for i in self.frames[at].instances
            if i.box is not None and all(abs(1000 * v - w) <= allowed for v, w in zip(i.box, wanted, strict=True))
        ]  # fmt: skip
        _require(len(found) > 0, "nothing is annotated where the reference is pointed out")
        alike = len({(i.category, i.identity) for i in found}) == 1
        _require(alike, "two different objects are where the reference is pointed out")
        self.reference, self.reference_at = found[0], at

    def _take_only(self, at: int) -> None:
        found = [i for i in self.frames[at].instances if i.box is not None]
        alone = len(found) == 1 and not self.frames[at].unclear
        _require(alone, f"picture {at + 1} shows not just the one object that is meant")
        self.reference, self.reference_at = found[0], at

    def wanted(self, n: int) -> list[Any]:
        """The instances asked for in picture n. Raises Untrue where the annotation does not settle them."""
        frame = self.frames[n]
        _require(not {self.phrase, "*"} & frame.unclear, f"{self.phrase!r} is unclear in picture {n + 1}")
        if self.by_identity:
            about = [i for i in frame.instances if i.identity == self.reference.identity]
            _require(len(about) == 1, f"the annotation does not settle where the object is in picture {n + 1}")
        else:
            about = [i for i in frame.instances if self.phrase == i.category or self.phrase in i.attributes]
        return [i for i in about if i.box is not None]


_MEANINGS: dict[str, Callable[[_Meaning], None]] = {
    "referential.phrase": _Meaning.by_phrase,
    "semantic.category": _Meaning.by_category,
    "semantic.common": _Meaning.by_common,
    "spatial.same": _Meaning.by_views,
    "temporal.same": _Meaning.by_times,
    "reasoning.question": _Meaning.by_question,
}


def _targets(sample: Composed, frames: list[Frame], meaning: _Meaning) -> None:
    expected = sorted((n, i.id, i.box) for n in meaning.asked for i in meaning.wanted(n))
    given = sorted((t.picture, t.annotation, t.box) for t in sample.targets)
    _require(given == expected, f"the targets are {given}, but the annotation has {expected}")


def _chain(chain: str, meaning: _Meaning) -> None:
    """Reads the chain sentence by sentence and holds each against the annotation."""
    told: list[int] = []
    at, introduced = 0, 0
    while at < len(chain):
        name, said = _sentence(chain, at, meaning.patterns["chains"])
        at = said.end() + 1
        slots = said.groupdict()
        if name in ("reference", "answer", "common"):
            introduced += 1
            _introduction(name, slots, meaning)
            continue
        n = int(slots["picture"]) - 1
        _require(n in meaning.asked, f"the chain tells of picture {n + 1}, which is not asked about")
        told.append(n)
        _evidence(name, slots, n, meaning)
    _require(sorted(told) == meaning.asked, "the chain does not tell of each picture once")
    _require(
        introduced == (meaning.sample.template.partition("/")[0] != "referential.phrase"), "the chain lacks its premise"
    )


def _sentence(chain: str, at: int, known: dict[str, list[re.Pattern[str]]]) -> tuple[str, re.Match[str]]:
    for name, of_name in known.items():
        for pattern in of_name:
            said = pattern.match(chain, at)
            if said and (said.end() == len(chain) or chain[said.end()] == " "):
                return name, said
    raise Untrue(f"a sentence of the chain that is in no wording: {chain[at : at + 80]!r}")


def _introduction(name: str, slots: dict[str, str], meaning: _Meaning) -> None:
    _require(slots["phrase"] == meaning.phrase, f"the chain speaks of {slots['phrase']!r}, not {meaning.phrase!r}")
    query = meaning.sample.template.partition("/")[0]
    if name == "reference":
        _require(meaning.reference_at == int(slots["picture"]) - 1, "the chain has the reference in another picture")
    elif name == "answer":
        _require(query == "reasoning.question", "the chain answers a question that is not asked")
    else:
        _require(query == "semantic.common", "the chain speaks of what is in common, which is not asked")


def _evidence(name: str, slots: dict[str, str], n: int, meaning: _Meaning) -> None:
    wanted = meaning.wanted(n)
    where = f"the chain on picture {n + 1}"
    _require((name in ("seen", "hidden")) == meaning.by_identity, f"{where} is worded for another question")
    phrase = slots.get("phrase", meaning.phrase)
    _require(phrase == meaning.phrase, f"{where} speaks of {phrase!r}")
    if name in ("absent", "hidden"):
        _require(not wanted, f"{where} overlooks {len(wanted)}")
        return
    number = 1 if name == "seen" else _NUMBERS.get(slots["count"]) or int(slots["count"])
    _require(number == len(wanted), f"{where} counts {number}, but there are {len(wanted)}")
    places = slots.get("place" if name == "seen" else "places")  # not every wording says them
    true = sorted(_third(i.box) for i in wanted)
    _require(places is None or sorted(places.split(", ")) == true, f"{where} has places {places}, but they are {true}")


def _third(box: tuple[float, float, float, float]) -> str:
    """The ninth of the picture that holds the centre of a box."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    row = "top" if y < 1 / 3 else "bottom" if y >= 2 / 3 else ""
    column = "left" if x < 1 / 3 else "right" if x >= 2 / 3 else ""
    return " ".join(word for word in (row, column) if word) or "centre"
