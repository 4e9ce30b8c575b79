"""The predictions file: one JSON line a response, appended as it is generated.

The first line is {"key": ...}: a hash of everything that determines an answer (model, prompt, mode, settings,
data). Predictions of another key are never read. Every batch is one write, synced to the disk, so a killed process or
a power failure loses the current batch and no more. A truncated last line is dropped and generated again. JSON
escapes all but ASCII, so no text can break a line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..files.atomic import writing
from ..grounding.predictions import Prediction
from ..grounding.samples import MODES


class PredictionsError(ValueError):
    """A file of other predictions than expected, or damaged elsewhere than at its end."""


class PredictionLog:
    """A predictions file open for appending, and its predictions so far.

    `done` maps a sample's id to its prediction, in the order of the file. The caller makes sure that a file has one
    writer at a time. Raises PredictionsError like `read`.
    """

    def __init__(self, path: Path, key: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        self.done = {p.sample: p for p in _parse(path, whole, key)} if whole else {}
        self._file = path.open("ab", buffering=0)  # or what a full disk refused would be tried again on closing
        self._file.truncate(len(whole))
        if not whole:
            self._write([{"key": key}])

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Adds a batch. Raises PredictionsError, with nothing written, for a sample that is there already."""
        batch = list(predictions)
        new = {prediction.sample: prediction for prediction in batch}
        if len(new) < len(batch) or new.keys() & self.done.keys():
            raise PredictionsError(
                f"{self._file.name}: a sample was predicted twice; generate only for those not in `done`"
            )
        self._write([asdict(prediction) for prediction in batch])
        self.done |= new

    def _write(self, records: list[dict[str, Any]]) -> None:
        lines = b"".join(json.dumps(record).encode("ascii") + b"\n" for record in records)
        whole = self._file.seek(0, os.SEEK_END)
        try:
            with writing(Path(self._file.name), len(lines)):
                done = 0
                while done < len(lines):
                    done += self._file.write(lines[done:])
                os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(whole)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read(path: Path, key: str | None = None) -> list[Prediction]:
    """The predictions of a file, without a truncated last line; with `key`, only of a file with that key.

    Raises PredictionsError if the key is another, a sample occurs twice, or any other line is no prediction.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PredictionsError(f"{path} cannot be read: {error.strerror}") from error
    return _parse(path, content[: content.rfind(b"\n") + 1], key)


def _parse(path: Path, whole: bytes, key: str | None) -> list[Prediction]:
    lines = whole.split(b"\n")[:-1]
    header = _record(lines[0]) if lines else None
    header_key = header.get("key") if header else None
    if not isinstance(header_key, str):
        raise PredictionsError(f"{path}: line 1 is no header {{'key': ...}}; move the file away to start anew")
    if key is not None and header_key != key:
        raise PredictionsError(
            f"{path} holds predictions of key {header_key!r}, not {key!r}: another model, prompt or data; "
            "move the file away to start anew"
        )
    predictions: dict[str, Prediction] = {}
    for number, line in enumerate(lines[1:], 2):
        prediction = _prediction(_record(line))
        if prediction is None or prediction.sample in predictions:
            what = "no prediction" if prediction is None else f"a second prediction of {prediction.sample!r}"
            raise PredictionsError(f"{path}: line {number} is {what}; cut the file before this line to go on")
        predictions[prediction.sample] = prediction
    return list(predictions.values())


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _prediction(record: dict[str, Any] | None) -> Prediction | None:
    if record is None or record.keys() != set(Prediction.__dataclass_fields__):
        return None
    strings = isinstance(record["sample"], str) and isinstance(record["text"], str)
    if not strings or record["mode"] not in MODES or type(record["tokens"]) is not int:
        return None
    return Prediction(**record)
