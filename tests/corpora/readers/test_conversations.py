import json
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.corpora.frames import Skips
from gemvg_repro.corpora.readers import conversations
from gemvg_repro.corpora.refusal import Refused


def record(**changes: Any) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": "<image>\n<image>\nWhich is larger? A. the first B. the second"},
        {"from": "gpt", "value": "B. the second"},
        {"from": "human", "value": "Why?"},
        {"from": "gpt", "value": "It fills the picture."},
    ]
    return {"id": "x", "image": ["a/1.jpg", "a/2.jpg"], "conversations": turns} | changes


def read(folder: Path, content: str) -> tuple[list[conversations.Conversation], Skips]:
    file = folder / "understanding.json"
    file.write_text(content)
    skips = Skips()
    return list(conversations.read(file, skips)), skips


@pytest.mark.parametrize("lines", [False, True])
def test_lists_and_lines(tmp_path: Path, lines: bool) -> None:
    records = [record(), record(id="y", image="1.jpg", conversations=[{"from": "human", "value": "What is it?"},
                                                                     {"from": "gpt", "value": "A cat."}])]  # fmt: skip
    content = "\n".join(map(json.dumps, records)) if lines else json.dumps(records)
    (first, second), skips = read(tmp_path, content)
    assert first.images == ("a/1.jpg", "a/2.jpg")
    assert first.turns == (
        ("Which is larger? A. the first B. the second", "B. the second"),
        ("Why?", "It fills the picture."),
    )
    assert (first.choice(0), first.choice(1), second.choice(0)) == ("B", None, None)
    assert second.images == ("1.jpg",)
    assert skips.counts == {}


@pytest.mark.parametrize(
    "broken",
    [
        record(image=["a/1.jpg"]),
        record(image=["../1.jpg", "2.jpg"]),
        record(image=[1, 2]),
        record(conversations=[]),
        record(conversations=record()["conversations"][:3]),
        record(conversations=record()["conversations"][::-1]),
        record(conversations=[{"from": "human", "value": "<image><image>"}, {"from": "gpt", "value": "x"}]),
        record(conversations=[{"from": "human", "value": "<image>a"}, {"from": "gpt", "value": "<image>"}]),
        record(conversations=[{"from": "human"}, {"from": "gpt", "value": "x"}]),
        record(conversations=[{"from": "human", "value": "<image><image><|im_end|>"}, {"from": "gpt", "value": "x"}]),
        7,
        None,
    ],
)
def test_broken_records_are_skipped_and_counted(tmp_path: Path, broken: Any) -> None:
    found, skips = read(tmp_path, json.dumps([broken, record()]))
    assert [c.id for c in found] == ["x"]
    assert sum(skips.counts.values()) == 1


@pytest.mark.parametrize("content", ["", "[]", "[{", "nothing", '{"id": 1}\n{'])
def test_what_holds_no_conversation_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(Refused, match=r"understanding\.json"):
        read(tmp_path, content)
