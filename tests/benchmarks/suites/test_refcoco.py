import pickle
from pathlib import Path

import pytest

from gemvg_repro.benchmarks.registry import benchmark
from gemvg_repro.benchmarks.suites.refcoco import box_of
from gemvg_repro.files.validation import Refused

from ..published import refcoco, write_refcoco


def test_accuracy_by_split(tmp_path: Path) -> None:
    suite = benchmark("refcoco")
    data = suite.load(write_refcoco(tmp_path))
    assert [(e.split, e.text) for e in data] == [("val", "left dog"), ("val", "the dog"), ("testA", "dog")]
    assert data[0].box == pytest.approx((0.25, 0.25, 0.75, 0.75))
    # Half of the box is an IoU of 1/2 and counts; less does not.
    score = suite.score(data, ["[0.25, 0.25, 0.75, 0.5]", "(250,250),(750,499)", "At [0.25,0.25,0.75,0.75]."])
    assert score.official == {"Acc@0.5 val": 0.5, "Acc@0.5 testA": 1.0}
    assert suite.counts(data) == {"val": 2, "testA": 1}
    sample = suite.samples(data, "direct")[2]
    assert (sample.id, sample.query) == ("refcoco/2", "dog")
    assert (sample.prompt or "").endswith("the region this sentence describes: dog")


def test_boxes_of_replies() -> None:
    assert box_of("x [0, 0, 1, 1] [0.5,0.5,1,1]") == (0, 0, 1, 1)
    assert box_of("<|box_start|>(100,200),(300,400)<|box_end|>") == (0.1, 0.2, 0.3, 0.4)
    assert box_of("[1, 2, 3]") is None
    assert box_of("") is None


@pytest.mark.parametrize(
    "replies",
    [
        ["[250, 250, 750, 750]"] * 3,
        ["[160, 120, 480, 360]"] * 3,
        ['```json\n[{"bbox_2d": [250, 250, 750, 750], "label": "dog"}]\n```'] * 3,
    ],
)
def test_boxes_in_other_units_are_told(tmp_path: Path, replies: list[str]) -> None:
    suite = benchmark("refcoco")
    data = suite.load(write_refcoco(tmp_path))
    score = suite.score(data, replies)
    assert set(score.official.values()) == {0.0}
    (note,) = score.notes
    assert "3 of 3 responses have coordinates far above 1" in note and "Divide thousandths by 1000" in note
    (note,) = suite.score(data, ["[0.25, 0.25, 0.75, 1.02]", "(250,250),(750,750)", ""]).notes
    assert note == "1 of 3 responses have no box that the rule reads, and are wrong"


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("__import__('pathlib').Path('evil').touch()",))


@pytest.mark.parametrize("protocol", range(5))
def test_a_pickle_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "refs(unc).p"
    file.write_bytes(pickle.dumps([Evil()], protocol=protocol))
    with pytest.raises(Refused, match=r"refs\(unc\)\.p is no pickle of plain data: it names .*eval"):
        benchmark("refcoco").load(file)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        pickle.dumps(refcoco()[0])[:-5],
        b"\x80\x02]r\xff\xff\xff\x7f.",  # a memo of 2**31 entries
        b"\x80\x02X\xff\xff\xff\x7fabc.",  # a text of two gigabytes
        b"\x80\x05\x96\xff\xff\xff\xff\x00\x00\x00\x00abc.",
        b"\x80\x04(" * 1000,
        b"cos\nsystem\n(S'true'\ntR.",
        b"(i__builtin__\neval\n.",
        b"\x80\x02U\x01aQ.",  # a persistent id
        b"\x80\xff.",
    ],
)
def test_a_broken_pickle_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "refs(unc).p"
    file.write_bytes(content)
    with pytest.raises(Refused, match=r"refs\(unc\)\.p"):
        benchmark("refcoco").load(file)


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    file = write_refcoco(tmp_path)
    file.write_bytes(
        b"(lp0\n(dp1\nS'split'\np2\nS'val'\np3\nsS'ann_id'\np4\nI11\nsS'image_id'\np5\nI1\nsS'sentences'\np6\n(lp7\n"
        b"(dp8\nS'sent'\np9\nS'the caf\\xc3\\xa9'\np10\nsasa."
    )
    (expression,) = benchmark("refcoco").load(file)
    assert (expression.split, expression.text) == ("val", "the caf\u00e9")
