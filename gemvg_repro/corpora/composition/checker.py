"""Is a composed sample correct? Verified for each one from its text and the annotation alone.

The checker shares the wordings (a wording file) with the composers, but none of their code: it parses the query and
every sentence of the chain, resolves them against the annotated frames, and compares. It verifies that

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
from ..frames import AnnotatedFrame, Conversation, SourceQuestion
from .composed import ComposedSample
from .oracle import RESOLVERS, Oracle, Untrue, phrases_of, require
from .patterns import attributes, patterns


def check(
    sample: ComposedSample, frame: Callable[[str], AnnotatedFrame | None],
    question: Callable[[str], SourceQuestion | None], conversation: Callable[[str], Conversation | None], wording: Path,
) -> None:  # fmt: skip
    """Raises Untrue unless every statement of the sample is correct.

    `frame`, `question` and `conversation` look up the annotation by the id in the source; `wording` is its
    wording file.
    """
    frames = [_frame_of(sample, n, frame) for n in range(len(sample.pictures))]
    require(len({f.id for f in frames}) == len(frames), "a frame is shown twice")
    for follow_up in sample.further:
        require(follow_up.pictures == sample.pictures, "a further question is about other pictures")
        require(not (follow_up.further or follow_up.turns), "a further question has further ones")
        check(follow_up, frame, question, conversation, wording)
    queries = [sample.query, *(follow_up.query for follow_up in sample.further)]
    require(len({*queries}) == len(queries), "a question is asked twice")
    if sample.kind == "understanding" and not sample.template:
        _check_conversation(sample, conversation(sample.question))
        return
    require(not sample.turns, "a question of grounding has turns of a conversation")
    name, _, number = sample.template.partition("/")
    require(name.partition(".")[0] == sample.kind, "the wording is of another kind")
    known_patterns = patterns(wording)
    wordings = known_patterns["queries"].get(name, [])
    require(number.isdecimal() and int(number) < len(wordings), f"there is no wording {sample.template!r}")
    match = wordings[int(number)].fullmatch(sample.query)
    require(match is not None, f"the query is not in its wording: {sample.query!r}")
    assert match is not None
    oracle = Oracle(sample, frames, match.groupdict(), question, known_patterns, attributes(wording))
    RESOLVERS[name](oracle)
    _check_targets(sample, frames, oracle)
    _check_chain(sample.chain, oracle)


def _check_conversation(sample: ComposedSample, conversation: Conversation | None) -> None:
    """Requires the source's conversation, word for word, about the same images in their order."""
    require(conversation is not None, f"there is no conversation {sample.question!r}")
    assert conversation is not None
    require(
        tuple(p.frame for p in sample.pictures) == conversation.images, "the pictures are not those of the conversation"
    )
    require(all(p.mark is None for p in sample.pictures), "a box is drawn that no word explains")
    require(
        sample.turns == conversation.turns and sample.query == conversation.turns[0][0],
        "the words are not the conversation's",
    )
    grounding_fields = (sample.targets, sample.chain, sample.template, sample.choice, sample.further)
    require(not any(grounding_fields), "a conversation has no targets, chain, wording, options or further questions")


def _frame_of(sample: ComposedSample, n: int, frame: Callable[[str], AnnotatedFrame | None]) -> AnnotatedFrame:
    picture = sample.pictures[n]
    annotated = frame(picture.frame)
    if annotated is None:
        raise Untrue(f"picture {n + 1} is no frame of the source: {picture.frame}")
    described = (picture.path, picture.member, picture.width, picture.height)
    require(
        described == (annotated.path, annotated.member, annotated.width, annotated.height),
        f"picture {n + 1} is described wrongly",
    )
    return annotated


def _check_targets(sample: ComposedSample, frames: list[AnnotatedFrame], oracle: Oracle) -> None:
    pictures = [] if oracle.correct_option else oracle.queried
    require((sample.choice is None) == (oracle.correct_option is None), "there are no options to choose from")
    expected = sorted((n, i.id, i.box) for n in pictures for i in oracle.expected(n))
    actual = sorted((t.picture, t.annotation, t.box) for t in sample.targets)
    require(actual == expected, f"the targets are {actual}, but the annotation has {expected}")


def _check_chain(chain: str, oracle: Oracle) -> None:
    """Parses the chain sentence by sentence and compares each with the annotation."""
    covered: list[int] = []
    premises: list[str] = []
    at = 0
    while at < len(chain):
        name, match = _match_sentence(chain, at, oracle.patterns["chains"])
        at = match.end() + 1
        slots = match.groupdict()
        if name in _PREMISES:
            premises.append(f"{name} {slots.get('picture', '')}")
            _check_premise(name, slots, oracle)
            continue
        for part in _picture_slots(slots, oracle.patterns["chains"]):
            n = int(part["picture"]) - 1
            require(n in oracle.queried, f"the chain tells of picture {n + 1}, which is not asked about")
            covered.append(n)
            _check_evidence(name, part, n, oracle)
    rests = premises == ["rests "]
    require(sorted(covered) == ([] if rests else oracle.queried), "the chain does not tell of each picture once")
    require(len({*premises}) == len(premises) == oracle.premises, "the chain lacks its premise, or has another")


_PREMISES = {"reference", "described", "answer", "common", "moves", "rests"}


def _match_sentence(chain: str, at: int, chain_patterns: dict[str, list[re.Pattern[str]]]) -> tuple[str, re.Match[str]]:
    for name, of_name in chain_patterns.items():
        for pattern in of_name if name != "told" else ():  # which is a part of a sentence
            match = pattern.match(chain, at)
            if match and (match.end() == len(chain) or chain[match.end()] == " "):
                return name, match
    raise Untrue(f"a sentence of the chain that is in no wording: {chain[at : at + 80]!r}")


def _picture_slots(slots: dict[str, str], chain_patterns: dict[str, list[re.Pattern[str]]]) -> list[dict[str, str]]:
    """The slots of a sentence for each image; a tally has several."""
    if "told" not in slots:
        return [slots]
    parts = slots["told"].split(", ")
    matches = [next(filter(None, (p.fullmatch(part) for p in chain_patterns["told"])), None) for part in parts]
    return [{**slots, **part.groupdict()} for part in matches if part]


def _check_premise(name: str, slots: dict[str, str], oracle: Oracle) -> None:
    query = oracle.sample.template.partition("/")[0]
    here = int(slots.get("picture", 0)) - 1
    if name == "rests":
        require(query in ("temporal.moving", "temporal.moved"), "the chain speaks of what moves, which is not asked")
        require(oracle.reference is None, "the chain overlooks what moves")
        return
    names = oracle.names or {oracle.phrase}
    if query in ("understanding.same", "understanding.different"):
        require(name == "reference" and here < len(oracle.frames), "the chain tells of what is not asked")
        names = {phrase for i in oracle.frames[here].instances if i.box is not None for phrase in phrases_of(i)}
    elif name == "described":
        require(here in oracle.described, "the chain has the reference in another picture")
        phrase, names = oracle.described[here]
        require(slots["phrase"] == phrase, f"the chain speaks of {slots['phrase']!r}")
    elif name == "reference":
        require(oracle.reference_at == here, "the chain has the reference in another picture")
        require(not oracle.described, "the chain is worded for another question")
    else:
        queries_of_premise = {"answer": ("reasoning.question",), "common": ("semantic.common",)}
        allowed = queries_of_premise.get(name, ("temporal.moving", "temporal.moved"))
        require(query in allowed, f"the chain says {name!r}, which is not asked")
        require(name != "moves" or oracle.reference is not None, "the chain says that something moves")
    name_in_chain = slots["name" if name == "described" else "phrase"]
    require(name_in_chain in names, f"the chain speaks of {name_in_chain!r}, not {sorted(names)}")


def _check_evidence(name: str, slots: dict[str, str], n: int, oracle: Oracle) -> None:
    instances = oracle.expected(n)
    where = f"the chain on picture {n + 1}"
    tallied = name in ("tally", "track")
    require(tallied or (name in ("seen", "hidden")) == oracle.by_identity, f"{where} is worded for another question")
    require(name != "track" or oracle.by_identity, f"{where} does not say of what")
    phrase = slots.get("phrase", oracle.phrase)
    require(phrase == oracle.phrase, f"{where} speaks of {phrase!r}")
    if name == "tally" and oracle.by_identity:  # the name is to mean this one object
        matching = [i for i in oracle.frames[n].instances if i.box is not None and phrase in phrases_of(i)]
        require(len(matching) == len(instances), f"{where} speaks of {phrase!r}, which fits {len(matching)}")
    if name in ("absent", "hidden"):
        require(not instances, f"{where} overlooks {len(instances)}")
        return
    word = slots.get("count", "one")
    number = CARDINALS.index(word) if word in CARDINALS else int(word)
    require(tallied or number > 0, f"{where} says that there are none as if there were")
    require(number == len(instances), f"{where} counts {number}, but there are {len(instances)}")
    places = slots.get("place" if name == "seen" else "places")  # not every wording says them
    true = sorted(_ninth(i.box) for i in instances)
    require(places is None or sorted(places.split(", ")) == true, f"{where} has places {places}, but they are {true}")


def _ninth(box: tuple[float, float, float, float]) -> str:
    """The ninth of the picture that holds the centre of a box."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    row = "top" if y < 1 / 3 else "bottom" if y >= 2 / 3 else ""
    column = "left" if x < 1 / 3 else "right" if x >= 2 / 3 else ""
    return " ".join(word for word in (row, column) if word) or "centre"
