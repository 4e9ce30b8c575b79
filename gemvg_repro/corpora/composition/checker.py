"""Is a composed sample true? Proved from its words and the annotation alone, for each one.

The checker shares the wordings (a wording file) with the composers, but none of their code: it reads the query and
every sentence of the chain back, works out from the annotated frames what they mean, and compares. It proves that

- the pictures are different frames of the source, as described, and stand in the relation that the query states;
- the targets are exactly the annotations that the query asks for, with their boxes, and nothing is unclear;
- the chain says something about every picture that is asked about, once, and every count, place, category and
  absence that it states is so;
- of lettered options, the letter is that of the one that is right;
- further questions are about the same pictures, each another, and true as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from ..frames import Conversation, Frame, Question
from .composed import Composed

_NUMBERS = {
    "no": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
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
    "attribute": r"[a-z]+",
    "name": r'[^"]+?',
    "options": r"A\. .+",
} | {corner: "[0-9]{1,4}" for corner in ("x1", "y1", "x2", "y2")}


class Untrue(ValueError):
    """What a sample says does not follow from the annotation; the message says what, and where."""


Patterns = dict[str, dict[str, list[re.Pattern[str]]]]


@cache
def patterns(file: Path) -> Patterns:
    """The wordings of a file as patterns that find their slots."""
    content = yaml.safe_load(file.read_text("utf-8"))
    one = "|".join(re.sub(r"\?P<\w+>", "?:", _pattern(text)) for text in content["chains"].get("told", ()))
    told = {"told": f"(?:{one})(?:, (?:{one}))*"}
    return {
        group: {name: [re.compile(_pattern(text, told)) for text in texts] for name, texts in content[group].items()}
        for group in ("queries", "marks", "chains")
    }


@cache
def attributes(file: Path) -> dict[str, list[str]]:
    """The phrases of each attribute."""
    found: dict[str, list[str]] = yaml.safe_load(file.read_text("utf-8")).get("attributes", {})
    return found


def _pattern(template: str, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """A phrase without quotation marks around it ends at a full stop, or it would reach into the next sentence."""
    slots = _SLOTS | more
    if '"{phrase}"' not in template:
        slots |= {"phrase": r'[^".:]+?', "name": r'[^".:]+?'}
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
    for more in sample.further:
        _require(more.pictures == sample.pictures, "a further question is about other pictures")
        _require(not (more.further or more.turns), "a further question has further ones")
        check(more, frame, question, conversation, wording)
    asked = [sample.query, *(more.query for more in sample.further)]
    _require(len({*asked}) == len(asked), "a question is asked twice")
    if sample.kind == "understanding" and not sample.template:
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
    meaning = _Meaning(sample, frames, said.groupdict(), question, known, attributes(wording))
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
    others = (sample.targets, sample.chain, sample.template, sample.choice, sample.further)
    _require(not any(others), "a conversation has no targets, chain, wording, options or further questions")


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
        question: Callable[[str], Question | None], known: Patterns, families: dict[str, list[str]],
    ) -> None:  # fmt: skip
        self.patterns, self.families = known, families
        self.names: set[str] = set()
        self.premises = 1
        self.right: str | None = None
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
        self.premises = 0

    def by_category(self) -> None:
        self._find_reference()
        self.phrase = self.reference.category

    def by_attribute(self) -> None:
        self._find_reference()
        self._take_value()

    def by_hops(self) -> None:
        at = int(self.slots["picture"]) - 1
        _require(at < len(self.frames), "the reference is in a picture that is not there")
        first, phrase = self.frames[at], self.slots["phrase"]
        found = [i for i in first.instances if i.box is not None and phrase in _phrases(i)]
        _require(len(found) == 1 and not {phrase, "*"} & first.unclear, f"{phrase!r} is not just one object there")
        _require(phrase not in self.families.get(self.slots["attribute"], ()), "the first hop is the second")
        self.reference, self.reference_at = found[0], at
        self.asked.remove(at)
        self._take_value()

    def _take_value(self) -> None:
        """The phrase that the reference has of the attribute which is asked for."""
        self.phrase = self._value(self.reference)
        self.names = _phrases(self.reference)

    def _value(self, instance: Any) -> str:
        found = _phrases(instance) & {*self.families.get(self.slots["attribute"], ())}
        _require(len(found) == 1, f"of {self.slots['attribute']!r} the object has {sorted(found)}, which is not one")
        return found.pop()

    def by_same(self) -> None:
        _require(len(self.frames) == 2, "there are not two pictures")
        alike = len({self._value(instance) for instance in self._singles()}) == 1
        self._choose("yes" if alike else "no", {"yes", "no"})

    def by_different(self) -> None:
        looks = [frozenset(_phrases(instance)) for instance in self._singles()]
        odd = [n for n, look in enumerate(looks) if looks.count(look) == 1]
        _require(len(looks) == 3 and len(odd) == 1, "not just one of three pictures is different")
        self._choose(f"Picture {odd[0] + 1}", {f"Picture {n + 1}" for n in range(3)})

    def by_count(self) -> None:
        self.by_phrase()
        number = sum(len(self.wanted(n)) for n in self.asked)
        self._choose(next(word for word, value in _NUMBERS.items() if value == number), {*_NUMBERS})

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
        _require(list(options) == list("ABCDEFGH"[: len(options)]), "the options are not lettered in order")
        _require(len({*options.values()}) == len(options) > 1 and {*options.values()} <= known, "options that are none")
        given = options.get(self.sample.choice or "")
        _require(given == right, f"{self.sample.choice} is {given!r}, but {right!r} is right")
        self.right = right

    def by_moving(self) -> None:
        self._in_time()
        if "picture" in self.slots:
            last = int(self.slots["picture"]) - 1
            _require(last == len(self.frames) - 1, "what moved is not asked for in the last picture")
            self.asked = [last]
        tracks: dict[str, list[Any]] = {}
        for frame in self.frames:
            _require(not frame.unclear, "something in a frame is unclear")
            for instance in frame.instances:
                tracks.setdefault(instance.identity, []).append(instance.box)
        whole = all(len(track) == len(self.frames) and None not in track for track in tracks.values())
        _require(len(self.frames) > 1 and whole and "" not in tracks, "not every object is tracked in every picture")
        moving = [name for name, track in tracks.items() if _moves(track)]
        _require(len(moving) < 2, "more than one object moves")
        self.by_identity = True
        if moving:
            self.reference = next(i for i in self.frames[0].instances if i.identity == moving[0])
            self.phrase, self.names = self.reference.category, _phrases(self.reference)

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
        if self.by_identity and self.reference is None:  # nothing moves
            return []
        if self.by_identity:
            about = [i for i in frame.instances if i.identity == self.reference.identity]
            _require(len(about) == 1, f"the annotation does not settle where the object is in picture {n + 1}")
        else:
            about = [i for i in frame.instances if self.phrase in _phrases(i)]
        return [i for i in about if i.box is not None]


def _phrases(instance: Any) -> set[str]:
    """All that an object can be called."""
    return {instance.category, *instance.attributes} - {""}


def _moves(track: list[Any]) -> bool:
    """Whether an object is elsewhere from each picture to the next. Raises Untrue unless it then stays where it is."""
    far = [max(abs(v - w) for v, w in zip(a, b, strict=True)) for a, b in pairwise(track)]
    if min(far) >= 0.05:
        return True
    spread = max(max(side) - min(side) for side in zip(*track, strict=True))
    _require(spread <= 0.01, "an object moves a little")
    return False


_MEANINGS: dict[str, Callable[[_Meaning], None]] = {
    "referential.phrase": _Meaning.by_phrase,
    "semantic.category": _Meaning.by_category,
    "semantic.attribute": _Meaning.by_attribute,
    "semantic.common": _Meaning.by_common,
    "spatial.same": _Meaning.by_views,
    "temporal.same": _Meaning.by_times,
    "temporal.moving": _Meaning.by_moving,
    "temporal.moved": _Meaning.by_moving,
    "reasoning.hops": _Meaning.by_hops,
    "understanding.same": _Meaning.by_same,
    "understanding.different": _Meaning.by_different,
    "understanding.count": _Meaning.by_count,
    "reasoning.question": _Meaning.by_question,
}


def _targets(sample: Composed, frames: list[Frame], meaning: _Meaning) -> None:
    asked = [] if meaning.right else meaning.asked
    _require((sample.choice is None) == (meaning.right is None), "there are no options to choose from")
    expected = sorted((n, i.id, i.box) for n in asked for i in meaning.wanted(n))
    given = sorted((t.picture, t.annotation, t.box) for t in sample.targets)
    _require(given == expected, f"the targets are {given}, but the annotation has {expected}")


def _chain(chain: str, meaning: _Meaning) -> None:
    """Reads the chain sentence by sentence and holds each against the annotation."""
    told: list[int] = []
    introduced: list[str] = []
    at = 0
    while at < len(chain):
        name, said = _sentence(chain, at, meaning.patterns["chains"])
        at = said.end() + 1
        slots = said.groupdict()
        if name in _PREMISES:
            introduced.append(f"{name} {slots.get('picture', '')}")
            _introduction(name, slots, meaning)
            continue
        for part in _parts(slots, meaning.patterns["chains"]):
            n = int(part["picture"]) - 1
            _require(n in meaning.asked, f"the chain tells of picture {n + 1}, which is not asked about")
            told.append(n)
            _evidence(name, part, n, meaning)
    rests = introduced == ["rests "]
    _require(sorted(told) == ([] if rests else meaning.asked), "the chain does not tell of each picture once")
    _require(len({*introduced}) == len(introduced) == meaning.premises, "the chain lacks its premise, or has another")


_PREMISES = {"reference", "described", "answer", "common", "moves", "rests"}


def _sentence(chain: str, at: int, known: dict[str, list[re.Pattern[str]]]) -> tuple[str, re.Match[str]]:
    for name, of_name in known.items():
        for pattern in of_name if name != "told" else ():  # which is a part of a sentence
            said = pattern.match(chain, at)
            if said and (said.end() == len(chain) or chain[said.end()] == " "):
                return name, said
    raise Untrue(f"a sentence of the chain that is in no wording: {chain[at : at + 80]!r}")


def _parts(slots: dict[str, str], known: dict[str, list[re.Pattern[str]]]) -> list[dict[str, str]]:
    """What a sentence says of each picture: a tally speaks of several."""
    if "told" not in slots:
        return [slots]
    parts = slots["told"].split(", ")
    found = [next(filter(None, (p.fullmatch(part) for p in known["told"])), None) for part in parts]
    return [{**slots, **part.groupdict()} for part in found if part]


def _introduction(name: str, slots: dict[str, str], meaning: _Meaning) -> None:
    query = meaning.sample.template.partition("/")[0]
    here = int(slots.get("picture", 0)) - 1
    if name == "rests":
        _require(query in ("temporal.moving", "temporal.moved"), "the chain speaks of what moves, which is not asked")
        _require(meaning.reference is None, "the chain overlooks what moves")
        return
    names = meaning.names or {meaning.phrase}
    if query in ("understanding.same", "understanding.different"):
        _require(name == "reference" and here < len(meaning.frames), "the chain tells of what is not asked")
        names = {phrase for i in meaning.frames[here].instances if i.box is not None for phrase in _phrases(i)}
    elif name in ("reference", "described"):
        _require(meaning.reference_at == here, "the chain has the reference in another picture")
        _require((name == "described") == (query == "reasoning.hops"), "the chain is worded for another question")
    else:
        asked = {"answer": ("reasoning.question",), "common": ("semantic.common",)}
        known = asked.get(name, ("temporal.moving", "temporal.moved"))
        _require(query in known, f"the chain says {name!r}, which is not asked")
        _require(name != "moves" or meaning.reference is not None, "the chain says that something moves")
    if name == "described":
        _require(slots["phrase"] == meaning.slots["phrase"], f"the chain speaks of {slots['phrase']!r}")
    said = slots["name" if name == "described" else "phrase"]
    _require(said in names, f"the chain speaks of {said!r}, not {sorted(names)}")


def _evidence(name: str, slots: dict[str, str], n: int, meaning: _Meaning) -> None:
    wanted = meaning.wanted(n)
    where = f"the chain on picture {n + 1}"
    tallied = name in ("tally", "track")
    _require(tallied or (name in ("seen", "hidden")) == meaning.by_identity, f"{where} is worded for another question")
    _require(name != "track" or meaning.by_identity, f"{where} does not say of what")
    phrase = slots.get("phrase", meaning.phrase)
    _require(phrase == meaning.phrase, f"{where} speaks of {phrase!r}")
    if name == "tally" and meaning.by_identity:  # the name is to mean this one object
        called = [i for i in meaning.frames[n].instances if i.box is not None and phrase in _phrases(i)]
        _require(len(called) == len(wanted), f"{where} speaks of {phrase!r}, which fits {len(called)}")
    if name in ("absent", "hidden"):
        _require(not wanted, f"{where} overlooks {len(wanted)}")
        return
    word = slots.get("count", "one")
    number = _NUMBERS[word] if word in _NUMBERS else int(word)
    _require(tallied or number > 0, f"{where} says that there are none as if there were")
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
