import io
import os
import pickle
import resource
import struct
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemvg_repro.files import pickles
from gemvg_repro.files.validation import Refused


def put(folder: Path, content: Any, protocol: int = 4) -> Path:
    file = folder / "a.pkl"
    file.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return file


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_data_and_numeric_arrays_come_back(tmp_path: Path, protocol: int) -> None:
    array = np.array([[10.5, 20, 20, 10]], dtype=np.float32)
    content = {
        1: {"bbox": array, "area": np.array([200]), "flag": np.bool_(True), "mean": np.float64(0.25)},
        "tuple": (np.arange(6, dtype=">i4").reshape(2, 3), "text"),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "empty": np.zeros((0, 4)),
        "plain": [None, True, 1, 2.5, b"x", {1, 2}, OrderedDict(a=1)],
    }
    loaded = pickles.load(put(tmp_path, content, protocol))
    assert np.array_equal(loaded[1]["bbox"], array) and loaded[1]["bbox"].dtype == np.float32
    assert (loaded[1]["area"].tolist(), loaded[1]["flag"], loaded[1]["mean"]) == ([200], True, 0.25)
    assert loaded["tuple"][0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["empty"].shape == (0, 4)
    assert loaded["plain"] == content["plain"]


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    numpy_1 = pickle.dumps({"bbox": np.array([1.0, 2.0])}, 2).replace(b"numpy._core", b"numpy.core")
    assert pickles.load(put(tmp_path, numpy_1))["bbox"].tolist() == [1.0, 2.0]


def test_words_of_python_2_are_read_in_the_encoding_that_is_named(tmp_path: Path) -> None:
    file = put(tmp_path, b"\x80\x02U\x06caf\xc3\xa9\xff.")
    assert pickles.load(file, encoding="utf-8") == "caf\u00e9\ufffd"
    assert pickles.load(file) == "caf\u00c3\u00a9\u00ff"


class _Runs:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.mark.parametrize(
    "hostile",
    [
        _Runs(os.system, "touch hacked"),
        _Runs(eval, "1"),
        _Runs(getattr, "text", "upper"),
        _Runs(bytearray, 10**12),
        _Runs(io.open, "hacked", "w"),
        np.array([object()], dtype=object),
        np.array(["text"]),
        np.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")]),
        np.datetime64("2020-01-01"),
        Path("x"),
        complex(1, 2),
        np.ndarray,
        slice(1),
    ],
    ids=lambda hostile: type(hostile).__name__,
)
def test_what_is_more_than_data_is_refused(tmp_path: Path, hostile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (hostile, {"a": [hostile]}):
        with pytest.raises(Refused, match=r"a\.pkl"):
            pickles.load(put(tmp_path, content))
    assert not (tmp_path / "hacked").exists()


def test_broken_large_and_missing_files_are_refused(tmp_path: Path) -> None:
    whole = pickle.dumps({n: np.arange(9) for n in range(20)})
    for cut in range(0, len(whole), 97):
        with pytest.raises(Refused):
            pickles.load(put(tmp_path, whole[:cut]))
    with pytest.raises(Refused, match="at most 100"):
        pickles.load(put(tmp_path, whole), max_bytes=100)
    with pytest.raises(Refused, match="cannot be read"):
        pickles.load(tmp_path / "none.pkl")


def test_an_array_with_too_few_bytes_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps(np.arange(4, dtype=np.uint8), 3)
    cut = content.replace(b"C\x04\x00\x01\x02\x03", b"C\x03\x00\x01\x02")
    assert cut != content
    with pytest.raises(Refused):
        pickles.load(put(tmp_path, cut))


def test_shared_containers_are_walked_once(tmp_path: Path) -> None:
    nested: list[Any] = [np.arange(2)]
    for _ in range(60):
        nested = [nested, nested]
    assert pickles.load(put(tmp_path, nested)) is not None


def long_key(depth: int, same: bool) -> bytes:
    """{t: None}, where t is a tuple of the one before (twice, if `same`), so many deep."""
    return b"\x80\x04})" + (b"2\x86" if same else b"\x85") * depth + b"Ns."


def copies(make: bytes, of: bytes, number: int) -> bytes:
    """A list of many objects that `make` builds of one content, held by reference."""
    return b"\x80\x04" + make + b"q\x07" + of + b"q\x08" + b"](" + b"h\x07h\x08\x85R" * number + b"e."


def colliding(number: int) -> bytes:
    """A dict of integers that all have the same hash."""
    integers = (n * (2**61 - 1) for n in range(1, number))
    return b"\x80\x02}(" + b"".join(pickle.dumps(n, 2)[2:-1] + b"N" for n in integers) + b"u."


LARGE_LIST = pickle.dumps(list(range(300, 200_300)), 2)[2:-1]
LARGE_PAIRS = b"](" + b"".join(b"J" + struct.pack("<i", n) + b"N\x86" for n in range(200_000)) + b"e"
ATTACKS = {
    "memo by LONG_BINPUT": b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b".",
    "memo by PUT": b"\x80\x02]p99999999999\n.",
    "memo by PUT, beyond all": b"\x80\x02]p9999999999999999999999\n.",
    "get of what is not there": b"\x80\x02j" + struct.pack("<I", 2**32 - 1) + b".",
    "a key that takes years": long_key(60, same=True),
    "a key that overflows the stack": long_key(2_000_000, same=False),
    "lists nested deeply": b"\x80\x04" + b"]" * 1_000_000 + b"a" * 999_999 + b".",
    "marks and duplicates": b"\x80\x04]" + b"(2" * 1_000_000 + b".",
    "duplicates and no end": b"\x80\x04N" + b"2" * 5_000_000,
    "integers of one hash": colliding(100_000),
    "sets of a large list": copies(b"cbuiltins\nset\n", LARGE_LIST, 20_000),
    "dicts of a large list": copies(b"ccollections\nOrderedDict\n", LARGE_PAIRS, 20_000),
    "texts of a large text": copies(b"c_codecs\nencode\n", b"X" + struct.pack("<I", 2**20) + b"x" * 2**20, 20_000),
    "bytes that are not there": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
    "text that is not there": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
    "a frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
    "an integer of many digits": b"\x80\x02L" + b"9" * 3_000_000 + b"L\n.",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_would_fill_the_memory_or_never_end_is_refused(
    tmp_path: Path, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "SECONDS", (1.0, 1e-7))
    monkeypatch.setattr(pickles, "MEMORY", (2**29, 30))
    started = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(Refused, match=r"a\.pkl is no pickle of plain data: .+"):
        pickles.load(put(tmp_path, ATTACKS[attack]))
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert time.process_time() - started[0] < 2, "nothing of it may fall to this process"
    assert spent.ru_utime + spent.ru_stime - started[1].ru_utime - started[1].ru_stime < 4
    assert spent.ru_maxrss < 2**20, "KiB"


def test_a_small_file_whose_key_takes_years_is_refused_in_half_a_second(tmp_path: Path) -> None:
    """With the limits that are in use: 60 tuples of two equal tuples are a key that is hashed 2 to the 60th times."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(Refused, match=r"a\.pkl is no pickle of plain data: it is not read after 0\.25 s"):
        pickles.load(put(tmp_path, long_key(60, same=True)))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert after.ru_maxrss < 2**20, "KiB"
