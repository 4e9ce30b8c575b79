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
from collections.abc import Callable
from pathlib import Path

from ...grounding.number_words import CARDINALS
from ..frames import Conversation, Frame, Question
from .composed import Composed
from .oracle import MEANINGS, Meaning, Untrue, phrases_of, require
from .patterns import attributes, patterns


def check(
    sample: Composed, frame: Callable[[str], Frame | None], question: Callable[[str], Question | None],
    conversation: Callable[[str], Conversation | None], wording: Path,
) -> None:  # fmt: skip
    """Raises Untrue unless everything that the sample says is so.

    `frame`, `question` and `conversation` look up the annotation by the id in the source; `wording` is the file of
    the words that it was composed in.
    """
    frames = [_shown(sample, n, frame) for n in range(len(sample.pictures))]
    require(len({f.id for f in frames}) == len(frames), "a frame is shown twice")
    for more in sample.further:
        require(more.pictures == sample.pictures, "a further question is about other pictures")
        require(not (more.further or more.turns), "a further question has further ones")
        check(more, frame, question, conversation, wording)
    asked = [sample.query, *(more.query for more in sample.further)]
    require(len({*asked}) == len(asked), "a question is asked twice")
    if sample.kind == "understanding" and not sample.template:
        _as_said(sample, conversation(sample.question))
        return
    require(not sample.turns, "a question of grounding has turns of a conversation")
    name, _, number = sample.template.partition("/")
    require(name.partition(".")[0] == sample.kind, "the wording is of another kind")
    known = patterns(wording)
    wordings = known["queries"].get(name, [])
    require(number.isdecimal() and int(number) < len(wordings), f"there is no wording {sample.template!r}")
    said = wordings[int(number)].fullmatch(sample.query)
    require(said is not None, f"the query is not in its wording: {sample.query!r}")
    assert said is not None
    meaning = Meaning(sample, frames, said.groupdict(), question, known, attributes(wording))
    MEANINGS[name](meaning)
    _targets(sample, frames, meaning)
    _chain(sample.chain, meaning)


def _as_said(sample: Composed, said: Conversation | None) -> None:
    """That it is the source's conversation, word for word, about the same pictures in their order."""
    require(said is not None, f"there is no conversation {sample.question!r}")
    assert said is not None
    require(tuple(p.frame for p in sample.pictures) == said.images, "the pictures are not those of the conversation")
    require(all(p.mark is None for p in sample.pictures), "a box is drawn that no word explains")
    require(sample.turns == said.turns and sample.query == said.turns[0][0], "the words are not the conversation's")
    others = (sample.targets, sample.chain, sample.template, sample.choice, sample.further)
    require(not any(others), "a conversation has no targets, chain, wording, options or further questions")


def _shown(sample: Composed, n: int, frame: Callable[[str], Frame | None]) -> Frame:
    picture = sample.pictures[n]
    found = frame(picture.frame)
    if found is None:
        raise Untrue(f"picture {n + 1} is no frame of the source: {picture.frame}")
    described = (picture.path, picture.member, picture.width, picture.height)
    require(described == (found.path, found.member, found.width, found.height), f"picture {n + 1} is described wrongly")
    return found


def _targets(sample: Composed, frames: list[Frame], meaning: Meaning) -> None:
    asked = [] if meaning.right else meaning.asked
    require((sample.choice is None) == (meaning.right is None), "there are no options to choose from")
    expected = sorted((n, i.id, i.box) for n in asked for i in meaning.wanted(n))
    given = sorted((t.picture, t.annotation, t.box) for t in sample.targets)
    require(given == expected, f"the targets are {given}, but the annotation has {expected}")


def _chain(chain: str, meaning: Meaning) -> None:
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
            require(n in meaning.asked, f"the chain tells of picture {n + 1}, which is not asked about")
            told.append(n)
            _evidence(name, part, n, meaning)
    rests = introduced == ["rests "]
    require(sorted(told) == ([] if rests else meaning.asked), "the chain does not tell of each picture once")
    require(len({*introduced}) == len(introduced) == meaning.premises, "the chain lacks its premise, or has another")


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


def _introduction(name: str, slots: dict[str, str], meaning: Meaning) -> None:
    query = meaning.sample.template.partition("/")[0]
    here = int(slots.get("picture", 0)) - 1
    if name == "rests":
        require(query in ("temporal.moving", "temporal.moved"), "the chain speaks of what moves, which is not asked")
        require(meaning.reference is None, "the chain overlooks what moves")
        return
    names = meaning.names or {meaning.phrase}
    if query in ("understanding.same", "understanding.different"):
        require(name == "reference" and here < len(meaning.frames), "the chain tells of what is not asked")
        names = {phrase for i in meaning.frames[here].instances if i.box is not None for phrase in phrases_of(i)}
    elif name == "described":
        require(here in meaning.described, "the chain has the reference in another picture")
        phrase, names = meaning.described[here]
        require(slots["phrase"] == phrase, f"the chain speaks of {slots['phrase']!r}")
    elif name == "reference":
        require(meaning.reference_at == here, "the chain has the reference in another picture")
        require(not meaning.described, "the chain is worded for another question")
    else:
        asked = {"answer": ("reasoning.question",), "common": ("semantic.common",)}
        known = asked.get(name, ("temporal.moving", "temporal.moved"))
        require(query in known, f"the chain says {name!r}, which is not asked")
        require(name != "moves" or meaning.reference is not None, "the chain says that something moves")
    said = slots["name" if name == "described" else "phrase"]
    require(said in names, f"the chain speaks of {said!r}, not {sorted(names)}")


def _evidence(name: str, slots: dict[str, str], n: int, meaning: Meaning) -> None:
    wanted = meaning.wanted(n)
    where = f"the chain on picture {n + 1}"
    tallied = name in ("tally", "track")
    require(tallied or (name in ("seen", "hidden")) == meaning.by_identity, f"{where} is worded for another question")
    require(name != "track" or meaning.by_identity, f"{where} does not say of what")
    phrase = slots.get("phrase", meaning.phrase)
    require(phrase == meaning.phrase, f"{where} speaks of {phrase!r}")
    if name == "tally" and meaning.by_identity:  # the name is to mean this one object
        called = [i for i in meaning.frames[n].instances if i.box is not None and phrase in phrases_of(i)]
        require(len(called) == len(wanted), f"{where} speaks of {phrase!r}, which fits {len(called)}")
    if name in ("absent", "hidden"):
        require(not wanted, f"{where} overlooks {len(wanted)}")
        return
    word = slots.get("count", "one")
    number = CARDINALS.index(word) if word in CARDINALS else int(word)
    require(tallied or number > 0, f"{where} says that there are none as if there were")
    require(number == len(wanted), f"{where} counts {number}, but there are {len(wanted)}")
    places = slots.get("place" if name == "seen" else "places")  # not every wording says them
    true = sorted(_third(i.box) for i in wanted)
    require(places is None or sorted(places.split(", ")) == true, f"{where} has places {places}, but they are {true}")


def _third(box: tuple[float, float, float, float]) -> str:
    """The ninth of the picture that holds the centre of a box."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    row = "top" if y < 1 / 3 else "bottom" if y >= 2 / 3 else ""
    column = "left" if x < 1 / 3 else "right" if x >= 2 / 3 else ""
    return " ".join(word for word in (row, column) if word) or "centre"
