"""Which response belongs to which record? Read from a predictions file of this project, or of another program.

Two kinds of file, told apart by their first line, both JSON lines:

- {"index": 17, "response": "..."}: the position of the record in the annotation file, counted from 0, and the
  response. It is scored as it is, as the official scripts do.
- a predictions file of ours (`benchmarks.predictions`). Special tokens, and everything from the end token on, are
  left out, as the official scripts decode; of a CoT response only its `final_answer` counts, the text in <answer>.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files.validation import Faults, Refused, whole
from ..grounding.answers import END_TOKENS
from ..grounding.parsing import final_answer
from ..grounding.samples import Mode
from .predictions import PredictionsError
from .predictions import read as read_predictions

_SPECIAL = re.compile(r"<\|[a-z_]{1,40}\|>")
_ENDS = re.compile(r"<\|(?:im_end|endoftext)\|>")


class SavedPrediction(str):
    """The choice that the authors' script extracted from a response and saved beside it; graded as it is."""

    __slots__ = ()


def cut_off(texts: Iterable[str]) -> int:
    """How many responses of ours, special tokens included, reached their limit: they have no end token."""
    return sum(not text.rstrip().endswith(END_TOKENS) for text in texts)


def cut_off_in(file: Path) -> tuple[int, int]:
    """How many responses of a predictions file of ours were cut off, and of how many; (0, 0) for any other file."""
    if file.is_dir() or not _is_ours(file):
        return 0, 0
    texts = [prediction.text for prediction in read_predictions(file)]
    return cut_off(texts), len(texts)


def visible_text(text: str, mode: Mode) -> str:
    """Our response as official scripts decode it: without special tokens, in CoT mode its `final_answer` part alone."""
    plain = _SPECIAL.sub("", _ENDS.split(text, maxsplit=1)[0])
    return final_answer(plain) if mode == "cot" else plain


def read_responses(file: Path, name: str, count: int, saved: bool = False) -> list[str]:
    """The responses to the `count` records of a benchmark of this name, in their order.

    If `saved`, the text under `prediction` of a JSON line stands for its response, as a SavedPrediction.

    Raises Refused, with the line and key of every fault, if a record has none or two.
    """
    if _is_ours(file):
        return _ours(file, name, count)
    faults = Faults(file)
    responses: dict[int, str] = {}
    for number, record in enumerate(read_lines(file), 1):
        index, response = whole(record.get("index")), record.get("response")
        if saved and isinstance(record.get("prediction"), str):
            response = SavedPrediction(record["prediction"])
        if index is None or not 0 <= index < count:
            got = f"{record.get('index')!r:.80}"
            faults.add(f"line {number}.index", f"expected an integer from 0 to {count - 1}, got {got}")
        elif index in responses:
            faults.add(f"line {number}.index", f"a second response to record {index}")
        elif not isinstance(response, str):
            faults.add(f"line {number}.response", f"expected text, got {response!r:.80}")
        else:
            responses[index] = response
    faults.refuse()
    return _complete(file, responses, count)


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; empty lines are skipped. Raises Refused with every line at fault."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}; expected JSON lines") from error
    faults = Faults(file)
    records = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            faults.add(f"line {number}", f"no JSON: {error!s:.120}")
            continue
        if isinstance(record, dict):
            records.append(record)
        else:
            faults.add(f"line {number}", f'expected {{"index": ..., "response": ...}}, got {record!r:.80}')
    faults.refuse()
    if not records:
        raise Refused(f'{file} is empty; expected JSON lines {{"index": ..., "response": ...}}')
    return records


def _is_ours(file: Path) -> bool:
    """By its first line alone: the last one of a stopped evaluation may be torn. False for what cannot be read."""
    try:
        with file.open("rb") as lines:
            first = json.loads(lines.readline())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "key" in first


def _ours(file: Path, name: str, count: int) -> list[str]:
    try:
        predictions = read_predictions(file)
    except PredictionsError as error:
        raise Refused(str(error)) from error
    faults = Faults(file)
    responses: dict[int, str] = {}
    for number, prediction in enumerate(predictions, 2):
        prefix, _, place = prediction.sample.rpartition("/")
        if prefix != name or not re.fullmatch("0|[1-9][0-9]{0,8}", place) or int(place) >= count:
            faults.add(f"line {number}.sample", f"{prediction.sample!r:.80} is none of {name}/0 to {name}/{count - 1}")
        else:
            responses[int(place)] = visible_text(prediction.text, prediction.mode)
    faults.refuse()
    return _complete(file, responses, count)


def _complete(file: Path, responses: dict[int, str], count: int) -> list[str]:
    if len(responses) < count:
        first = next(index for index in range(count) if index not in responses)
        raise Refused(
            f"{file}: {count - len(responses)} of {count} records have no response, the first is record {first}; "
            "an evaluation that was stopped resumes when it is started again"
        )
    return [responses[index] for index in range(count)]
