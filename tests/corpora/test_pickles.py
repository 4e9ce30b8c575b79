import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemvg_repro.corpora import pickles
from gemvg_repro.corpora.refusal import Refused


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
    found = pickles.load(put(tmp_path, content, protocol))
    assert np.array_equal(found[1]["bbox"], array) and found[1]["bbox"].dtype == np.float32
    assert (found[1]["area"].tolist(), found[1]["flag"], found[1]["mean"]) == ([200], True, 0.25)
    assert found["tuple"][0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["empty"].shape == (0, 4)
    assert found["plain"] == content["plain"]


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    numpy_1 = pickle.dumps({"bbox": np.array([1.0, 2.0])}, 2).replace(b"numpy._core", b"numpy.core")
    assert pickles.load(put(tmp_path, numpy_1))["bbox"].tolist() == [1.0, 2.0]


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
    for cut in range(0, len(whole), 37):
        with pytest.raises(Refused):
            pickles.load(put(tmp_path, whole[:cut]))
    with pytest.raises(Refused, match="at most 100"):
        pickles.load(put(tmp_path, whole), most_bytes=100)
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
