import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gemvg_repro.benchmarks.predictions import PredictionLog, PredictionsError, read
from gemvg_repro.grounding.predictions import Prediction

HOSTILE = '\n\r\t"\\ \x00\x1f\x7f\x85\u2028\u2029 \ud800 \U0001f99d <|im_end|> {"sample": 1}'


def one(name: str, text: str = "none") -> Prediction:
    return Prediction(name, "direct", text, 3)


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "predictions.jsonl"
    with PredictionLog(path, "key") as log:
        log.append([one("a", HOSTILE), one(HOSTILE)])
        log.append([])
        log.append(iter([one("c")]))
        assert list(log.done) == ["a", HOSTILE, "c"]
    assert read(path) == read(path, "key") == [one("a", HOSTILE), one(HOSTILE), one("c")]
    assert path.read_bytes().count(b"\n") == 4
    assert path.read_bytes().isascii()


@pytest.mark.parametrize("torn", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_and_written_again(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "p.jsonl"
    with PredictionLog(path, "key") as log:
        log.append([one("a"), one("b")])
    whole = path.read_bytes()
    path.write_bytes(whole[:-torn])
    assert read(path) == [one("a")]
    with PredictionLog(path, "key") as log:
        assert list(log.done) == ["a"]
        log.append([one("b")])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("start", [b"", b'{"key": "k'])
def test_a_file_torn_in_its_first_line_starts_anew(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(start)
    with PredictionLog(path, "key") as log:
        log.append([one("a")])
    assert read(path, "key") == [one("a")]


def test_predictions_of_another_key_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with PredictionLog(path, "old model") as log:
        log.append([one("a")])
    before = path.read_bytes()
    for action in (lambda: PredictionLog(path, "new model"), lambda: read(path, "new model")):
        with pytest.raises(PredictionsError, match=r"'old model', not 'new model'.*move the file away"):
            action()
    assert path.read_bytes() == before


def test_a_sample_is_predicted_once(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with PredictionLog(path, "key") as log:
        log.append([one("a")])
        for batch in ([one("b"), one("a")], [one("b"), one("b")]):
            with pytest.raises(PredictionsError, match="twice"):
                log.append(batch)
    assert read(path) == [one("a")]


DAMAGE = {
    "no header": b'{"sample": "a", "mode": "direct", "text": "none", "tokens": 3}\n',
    "no JSON": b'{"key": "key"}\n\x00\x00\n',
    "no object": b'{"key": "key"}\n[]\n',
    "blank": b'{"key": "key"}\n\n',
    "a key too few": b'{"key": "key"}\n{"sample": "a", "mode": "direct", "text": "none"}\n',
    "another mode": b'{"key": "key"}\n{"sample": "a", "mode": "both", "text": "none", "tokens": 3}\n',
    "tokens in words": b'{"key": "key"}\n{"sample": "a", "mode": "direct", "text": "none", "tokens": "3"}\n',
    "twice": b'{"key": "key"}\n' + b'{"sample": "a", "mode": "direct", "text": "none", "tokens": 3}\n' * 2,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_other_damage_is_refused_with_the_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(DAMAGE[name])
    with pytest.raises(PredictionsError, match=r"p\.jsonl: line \d"):
        PredictionLog(path, "key")
    assert path.read_bytes() == DAMAGE[name]


def test_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match="cannot be read"):
        read(tmp_path / "none.jsonl")


WRITER = """
import sys
from pathlib import Path
from gemvg_repro.benchmarks.predictions import PredictionLog
from gemvg_repro.grounding.predictions import Prediction
with PredictionLog(Path(sys.argv[1]), "key") as log:
    for n in range(2000):
        if str(n) not in log.done:
            log.append([Prediction(str(n), "cot", "x" * (n % 90), n)])
"""


def test_a_killed_writer_loses_no_line_and_writes_none_twice(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    for lines in (3, 40, 200):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < lines):
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, "-c", WRITER, str(path)], check=True)
    expected = [Prediction(str(n), "cot", "x" * (n % 90), n) for n in range(2000)]
    assert read(path, "key") == expected
