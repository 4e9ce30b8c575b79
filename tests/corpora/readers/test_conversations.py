import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.corpora.cells import prove
from gemvg_repro.corpora.composition.composed import Context, Rules, Unfit
from gemvg_repro.corpora.composition.conversations import compose
from gemvg_repro.corpora.composition.oracle import Untrue
from gemvg_repro.corpora.frames import AnnotatedFrame, Conversation, Skips
from gemvg_repro.corpora.index import Index
from gemvg_repro.corpora.index_builder import exclude
from gemvg_repro.corpora.readers import conversations
from gemvg_repro.corpora.sources import index_source
from gemvg_repro.files.validation import Refused

from .. import made_sources


def record(**changes: Any) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": "<image>\n<image>\nWhich is larger? A. the first B. the second"},
        {"from": "gpt", "value": "B. the second"},
        {"from": "human", "value": "Why?"},
        {"from": "gpt", "value": "It fills the picture."},
    ]
    return {"id": "x", "image": ["a/1.jpg", "a/2.jpg"], "conversations": turns} | changes


def read(folder: Path, content: str) -> tuple[list[Conversation], Skips]:
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
        record(conversations=[{"from": "human"}, {"from": "gpt", "value": "x"}]),
        7,
        None,
    ],
)
def test_broken_records_are_skipped_and_counted(tmp_path: Path, broken: Any) -> None:
    found, skips = read(tmp_path, json.dumps([broken, record()]))
    assert [c.id for c in found] == ["x"]
    assert sum(skips.counts.values()) == 1


@pytest.mark.parametrize("speaker", [0, 1])
@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<|image_pad|>", "<|vision_start|>", "<|video_pad|>", "<|endoftext|>", "<|box_start|>"]
)
def test_a_special_token_in_a_turn_is_skipped_and_counted(tmp_path: Path, token: str, speaker: int) -> None:
    broken = record()
    broken["conversations"][speaker]["value"] += f" {token}"
    found, skips = read(tmp_path, json.dumps([record(id="whole"), broken]))
    assert [c.id for c in found] == ["whole"]
    assert skips.counts == {"turn with a special token": 1} and skips.places == {
        "turn with a special token": ["understanding.json[1]"]
    }


@pytest.mark.parametrize("content", ["", "[]", "[{", "nothing", '{"id": 1}\n{'])
def test_what_holds_no_conversation_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(Refused, match=r"understanding\.json"):
        read(tmp_path, content)


QUESTION, ANSWER = "<image>\n<image>\nWhat differs?", "The colour."
PATHS = ["a/1.jpg", "a/2.jpg"]


def of_parts(*images: dict[str, str]) -> list[dict[str, Any]]:
    return [*({"type": "image", **image} for image in images), {"type": "text", "text": "What differs?"}]


LAYOUTS: dict[str, dict[str, Any]] = {
    "LLaVA": {
        "image": PATHS,
        "conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}],
    },
    "Mantis": {
        "images": [{"bytes": None, "path": path} for path in PATHS],
        "conversation": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}],
    },
    "LLaMA-Factory": {
        "images": PATHS,
        "messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}],
    },
    "ms-swift": {
        "images": PATHS,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": ANSWER},
        ],
    },
    "Qwen": {
        "messages": [
            {"role": "user", "content": of_parts(*({"image": path} for path in PATHS))},
            {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]},
        ],
    },
    "Qwen, images beside the messages": {
        "images": PATHS,
        "messages": [{"role": "user", "content": of_parts({}, {})}, {"role": "assistant", "content": ANSWER}],
    },
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("lines", ["list", "lines", "one object", "one object on many lines"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(tmp_path: Path, layout: str, lines: str, encoding: str) -> None:
    """As a list, as lines, as the one object of a file, in any encoding that JSON may have."""
    record = LAYOUTS[layout]
    content = {
        "list": json.dumps([record], indent=1),
        "lines": f"{json.dumps(record)}\n\n{json.dumps(record)}\n",
        "one object": json.dumps(record),
        "one object on many lines": json.dumps(record, indent=1),
    }[lines]
    (tmp_path / "demo.json").write_text(content, encoding=encoding)
    skips = Skips()
    first, *_ = conversations.read(tmp_path / "demo.json", skips)
    assert (first.images, first.turns) == (tuple(PATHS), (("What differs?", ANSWER),))
    system = {"system turn, left out of its conversation"} if layout == "ms-swift" else set()
    assert set(skips.counts) == system


def test_marks_within_turns_are_named(tmp_path: Path) -> None:
    turns = [("human", "<image>a\n- <image>"), ("gpt", "It is <image>."), ("human", "<image>\nAnd here?"), ("gpt", "x")]
    content = [{"image": list("1234"), "conversations": [{"from": who, "value": text} for who, text in turns]}]
    (found,), skips = read(tmp_path, json.dumps(content))
    assert found.turns == (("a\n- Picture 2", "It is Picture 3."), ("Picture 4\nAnd here?", "x"))
    assert skips.counts == {}


@pytest.mark.parametrize("about", [{"videos": ["a.mp4"]}, {"video": "a.mp4"}, {"audios": ["a.wav"]}])
def test_a_conversation_about_a_video_is_skipped(tmp_path: Path, about: dict[str, Any]) -> None:
    found, skips = read(tmp_path, json.dumps([record(**about), record(id="whole")]))
    assert [c.id for c in found] == ["whole"] and skips.counts == {"conversation about a video or a sound": 1}


@pytest.mark.parametrize("indent", [None, 1])
def test_a_file_that_is_one_object_is_skipped_by_name(tmp_path: Path, indent: int | None) -> None:
    """LLaMA-Factory keeps its dataset_info.json beside the data."""
    root = made_sources.conversations(tmp_path / "talk", 3)
    info = {"demo": {"file_name": "understanding.json", "formatting": "sharegpt", "columns": {"messages": "messages"}}}
    (root / "dataset_info.json").write_text(json.dumps(info, indent=indent))
    skips = Skips()
    records = list(conversations.read_folder(root, skips))
    assert sum(isinstance(record, Conversation) for record in records) == 3
    assert skips.places == {"file that is one JSON object, no list of conversations": ["dataset_info.json"]}
    (root / "understanding.json").unlink()
    with pytest.raises(Refused, match=r"dataset_info\.json is one JSON object; expected records with `conversations`"):
        list(conversations.read_folder(root, Skips()))


def test_the_place_of_a_skipped_record_names_its_file(tmp_path: Path) -> None:
    root = made_sources.conversations(tmp_path / "talk", 2)
    (root / "more.jsonl").write_text(json.dumps(record(image="no.jpg")) + "\n" + json.dumps({"messages": []}) + "\n")
    skips = Skips()
    list(conversations.read_folder(root, skips))
    assert skips.places == {
        "pictures and their marks do not agree": ["more.jsonl[0]"],
        "conversation without pairs of turns": ["more.jsonl[1]"],
    }


def test_a_folder_s_pictures_are_frames_before_what_is_said_of_them(tmp_path: Path) -> None:
    root = made_sources.conversations(tmp_path / "talk", 3)
    (root / "images" / "0001-0.jpg").write_bytes(b"no picture")
    skips = Skips()
    records = list(conversations.read_folder(root, skips))
    assert [type(record) for record in records] == [AnnotatedFrame, AnnotatedFrame, Conversation] * 2
    assert records[0] == AnnotatedFrame("images/0000-0.jpg", "picture/images/0000-0.jpg", "images/0000-0.jpg", 32, 24)
    assert skips.counts == {"picture that cannot be read": 1}
    assert len({record.id for record in records}) == 6  # though all conversations have the id "x"
    with pytest.raises(Refused, match="has no"):
        list(conversations.read_folder(tmp_path, Skips()))


def test_conversations_are_composed_as_they_are(tmp_path: Path) -> None:
    root = made_sources.conversations(tmp_path / "talk", 3)
    index = index_source("conversations", root, tmp_path / "index.sqlite")
    sample = compose(Context(index, Rules()), 2)
    prove(sample, index)
    assert sample.turns == index.conversation(2).turns and len(sample.pictures) == 2 and not sample.targets  # type: ignore[union-attr]
    (question, answer), *rest = sample.turns
    lies = [
        replace(sample, turns=((question, answer + "!"), *rest)),
        replace(sample, turns=sample.turns[:1]),
        replace(sample, pictures=sample.pictures[::-1]),
        replace(sample, query="Why?"),
        replace(sample, question="no such"),
        replace(sample, chain="So it is."),
        replace(sample, pictures=(replace(sample.pictures[0], mark=(0.1, 0.1, 0.2, 0.2)), sample.pictures[1])),
    ]
    for lie in lies:
        with pytest.raises(Untrue):
            prove(lie, index)
    with pytest.raises(Unfit, match="too few pictures"):
        compose(Context(index, Rules(pictures=(3, 6))), 2)
    exclude(index.file, [sample.pictures[0].frame], "in a benchmark")
    with pytest.raises(Unfit, match="taken out"):
        compose(Context(Index(index.file), Rules()), 2)
