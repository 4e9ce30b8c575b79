from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gemvg_repro.grounding.errors import errors_of
from gemvg_repro.grounding.samples import GROUNDING_KINDS, MODES, Sample
from gemvg_repro.miniature.dataset import Recipe, generate
from gemvg_repro.report.claims.claims import judge
from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import numbers
from gemvg_repro.report.sections import answers, comparisons, figures, predictions
from gemvg_repro.runs import gallery

from .. import synthetic

NOTHING = Collection(())

ANSWER = "Picture 2: <|box_start|>(100,200),(300,400)<|box_end|><|im_end|>"


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(generate("test", Recipe(seed=2, validation=1, test=80, understanding_test=5)))


def test_figures_are_saved_and_the_same_again(collection: Collection, measured: pd.DataFrame, tmp_path: Path) -> None:
    first, second = figures.bars(measured, tmp_path / "a"), figures.bars(measured, tmp_path / "b")
    assert first.png and first.png == second.png
    pdfs = [(tmp_path / folder / "figures" / "bars.pdf").read_bytes() for folder in "ab"]
    assert pdfs[0] == pdfs[1]
    assert figures.loss_curves(collection, tmp_path).png
    assert comparisons.forest(judge(collection, Draws(20)), tmp_path).png
    assert comparisons.chains_of_thought(measured, tmp_path).png and comparisons.cost_and_score(measured, tmp_path).png
    assert answers.errors(collection, tmp_path).png and answers.box_counts(collection, tmp_path).png
    assert figures.reward_curves(collection, tmp_path).png and figures.greedy_curves(collection, tmp_path).png
    assert predictions.drawings(collection, tmp_path).png
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".pdf", ".png"}


def test_without_runs(tmp_path: Path) -> None:
    pictures = (
        figures.bars(numbers(NOTHING), tmp_path),
        comparisons.forest(judge(NOTHING), tmp_path),
        comparisons.chains_of_thought(numbers(NOTHING), tmp_path),
        comparisons.cost_and_score(numbers(NOTHING), tmp_path),
        answers.errors(NOTHING, tmp_path),
        answers.box_counts(NOTHING, tmp_path),
        figures.loss_curves(NOTHING, tmp_path),
        figures.reward_curves(NOTHING, tmp_path),
        figures.greedy_curves(NOTHING, tmp_path),
        predictions.drawings(NOTHING, tmp_path),
    )
    assert all("Not run yet" in picture._repr_html_() for picture in pictures)
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("variants", "whose"),
    [
        (["base", "cot", "hybrid", "joint", "shuffled"], "GRPO, hybrid (seed 0)"),
        (["base", "cot", "direct", "shuffled"], "GRPO, pure direct (seed 0)"),
        (["shuffled"], "GRPO, shuffled reward (seed 0)"),
        (["base"], "base"),
    ],
)
def test_whose_predictions_are_drawn(variants: list[str], whose: str, tmp_path: Path) -> None:
    directories = [name for name in synthetic.names(variants=variants) if name.startswith("evaluate")]
    synthetic.build(tmp_path, directories, samples=12, choices=2)
    figure = predictions.drawings(collect(tmp_path), tmp_path / "out")
    assert figure.caption == f"Predictions of {whose} and ground truth."


def test_an_unfinished_run_has_curves(tmp_path: Path) -> None:
    synthetic.build(tmp_path, [name for name in synthetic.names() if name.startswith("hybrid")], 10, 5)
    folder = next(tmp_path.glob("hybrid*"))
    synthetic.unfinish(folder)
    lines = (folder / "log.jsonl").read_text().splitlines()[:3]
    (folder / "log.jsonl").write_text("\n".join([*lines, '{"step": 4, "reward": null, "kl": null}']))
    assert figures.reward_curves(collect(tmp_path), tmp_path / "out").png


def test_samples_are_chosen_by_their_ids_alone(samples: list[Sample]) -> None:
    selection = gallery.choose(samples)
    counts = Counter(sample.kind for sample in selection)
    available = Counter(sample.kind for sample in samples)
    assert counts == {kind: min(available[kind], gallery.OF_A_KIND) for kind in GROUNDING_KINDS}
    assert gallery.choose(samples[::-1]) == selection
    assert gallery.choose([]) == []


def test_twelve_of_them_are_drawn(samples: list[Sample], tmp_path: Path) -> None:
    gallery.write(tmp_path, [(s, mode, ANSWER) for s in gallery.choose(samples) for mode in MODES])
    drawn = predictions.twelve(gallery.read(tmp_path))
    assert len(drawn) == 12 and len({entry.sample for entry in drawn}) == 12
    assert {(e.kind, e.mode) for e in drawn[:10]} == {(kind, mode) for kind in GROUNDING_KINDS for mode in MODES}
    assert not drawn[10].truth and len(drawn[11].truth) > 1


def test_what_was_written_is_read(samples: list[Sample], tmp_path: Path) -> None:
    sample = next(s for s in gallery.choose(samples) if len(s.pictures) > 1 and s.targets)
    gallery.write(tmp_path, [(sample, "cot", ANSWER)])
    (entry,) = gallery.read(tmp_path)
    assert (entry.sample, entry.mode, entry.text) == (sample.id, "cot", ANSWER)
    assert entry.truth == tuple((t.picture, *t.box) for t in sample.targets)
    assert entry.predicted == ((1, 0.1, 0.2, 0.3, 0.4),)
    assert entry.reward["format"] == 0 and entry.errors == errors_of(sample, ANSWER)  # it has no thought
    for name, picture in zip(entry.pictures, sample.pictures, strict=True):
        assert np.array_equal(gallery.pixels(tmp_path, name), picture.pixels())
    assert gallery.read(tmp_path / "nowhere") == []
    with pytest.raises(ValueError, match="plain file name"):
        gallery.pixels(tmp_path, "../secret.png")


@pytest.mark.filterwarnings("error")
def test_a_hostile_answer_is_drawn_as_text(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((30, 90, 3), np.uint8)).save(tmp_path / "wide.png")
    Image.fromarray(np.zeros((300, 20, 3), np.uint8)).save(tmp_path / "tall.png")
    plain = gallery.Entry("s", "semantic", "direct", "q", "", ("wide.png", "tall.png"), (), ())
    texts = [r"$\frac{1}{0}$ $", "\x00\x1b]0;x\x07", "日本\U0001f600", "x" * 100_000, "<b>\n" * 900, ""]
    far = ((0, -3.0, 0.5, 9.0, 2.0), (7, 0.0, 0.0, 1.0, 1.0))
    entries = [replace(plain, text=text, query=text, kind=text, mode=text, predicted=far) for text in texts]
    predictions.draw(tmp_path, entries).savefig(tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1000
