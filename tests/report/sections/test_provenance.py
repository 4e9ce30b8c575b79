"""What the report says of the training set, from the data run alone."""

import json
from pathlib import Path

from gemvg_repro.report.numbers.collect import collect
from gemvg_repro.report.sections import provenance

from .. import synthetic

CELL = {
    "kind": "referential",
    "source": "coco",
    "quota": 1600,
    "made": 1544,
    "further": 4610,
    "not_made": {"too few pictures": 22},
}


def test_the_composed_training_set_is_reported(tmp_path: Path) -> None:
    (name,) = [n for n in synthetic.names() if n.startswith("data-")]
    synthetic.build(tmp_path, [name], samples=10, choices=2)
    file = tmp_path / name / "result.json"
    result = json.loads(file.read_text())
    assert provenance.trained_on(collect(tmp_path)).caption == "No finished data run has a composed training set."
    result |= {
        "cells": {"referential-coco": CELL},
        "sources": {"coco": {"frames": 4000, "skipped": {"crowd": 3}}},
        "counts": {"train": {"targets": {"0": 5, "1": 7}}},
    }
    file.write_text(json.dumps(result))
    table = provenance.trained_on(collect(tmp_path))
    assert "4,000 annotated images: 1,544 samples" in table.caption and "5 with 0, 7 with 1" in table.caption
    assert "refused: 3." in table.caption
    text = table.frame.to_string()
    assert "referential-coco" in text and "4,610" in text and "too few pictures: 22" in text
