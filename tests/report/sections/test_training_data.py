"""The figures of the data notebook: what is free text is called so, and no text leaves its card."""

from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gemvg_repro.corpora.statistics import overview
from gemvg_repro.grounding.samples import Sample, Target
from gemvg_repro.miniature.dataset import Recipe, generate
from gemvg_repro.report.sections import predictions, training_data

PICTURES = next(iter(generate("validation", Recipe(1, 10, 0, 0)))).pictures

BOX = "<|box_start|>(123,456),(789,999)<|box_end|>"
QUERIES = {
    "box tokens": f"Find every object of the same category as the object at {BOX} in Picture 1, in the other pictures.",
    "only box tokens": f"{BOX}{BOX}{BOX}",
    "wide letters": "WWWWWWWW " * 30,
    "no space": "m" * 400,
    "many lines": "- Is it A?\n- Is it B?\n" * 20,
    "empty": "",
}


def sample(number: int, query: str = "What is it?", **answer: object) -> Sample:
    fields = {"kind": "understanding", "source": "x", "scene": "x", "pictures": PICTURES, "query": query, **answer}
    return Sample(id=str(number), **fields)  # type: ignore[arg-type]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_free_text_is_no_multiple_choice_and_has_no_mode() -> None:
    samples = [
        sample(0, text="A cat."),
        sample(1, choice="B"),
        sample(2, kind="semantic", targets=(Target(0, (0.1, 0.1, 0.4, 0.4)),)),
        sample(3, text="A dog."),
    ]
    headings = [text for text in texts(training_data.examples(samples, 1)) if "prompt" in text or "text" in text]
    assert headings == ["semantic, direct prompt", "multiple choice, direct prompt", "conversation, free text"]
    (legend,) = training_data.measures(overview(samples)).legends
    assert {text.get_text() for text in legend.get_texts()} == {
        "semantic",
        "multiple choice",
        "conversation, free text",
    }


@pytest.mark.parametrize("query", QUERIES)
def test_no_text_leaves_its_card(query: str) -> None:
    samples = [sample(n, QUERIES[query], text=QUERIES[query]) for n in range(3)]
    figure = training_data.examples(samples, 3)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    card = figure.bbox.width / predictions.COLUMNS
    for axes in figure.axes:
        for text in axes.texts:
            extent = text.get_window_extent(canvas.get_renderer())
            column = round((extent.x0 - figure.bbox.x0) // card)
            assert extent.x1 <= (column + 1) * card, text.get_text()
