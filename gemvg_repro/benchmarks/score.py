"""What is the official score of a file of answers?

    python -m gemvg_repro.benchmarks.score NAME --annotations FILE --predictions FILE [--json]

Takes no model: the predictions file is one of this project's, or another program's (see --help).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..files.atomic import write_bytes
from ..files.validation import Refused, printable
from .fingerprint import Fingerprint, fingerprint
from .interface import BenchmarkScore
from .registry import NAMES, benchmark
from .responses import cut_off_in

if TYPE_CHECKING:
    from rich.text import Text

_HELP = """\
NAME is one of: {names}.

--annotations is the file that the benchmark's authors distribute (odinw13: one dataset's annotation file, or the
folder with the datasets).

--predictions is predictions-NAME-direct.jsonl or predictions-NAME-cot.jsonl in the run directory of an evaluation of
this project, or a file of another program:
  JSON lines {{"index": position in the annotation file, from 0, "response": text}}, or
  mc_bench, odinw13: a COCO result list [{{"image_id", "category_id", "bbox": [x, y, width, height], "score"}}]

Where the authors let a model read responses that their rule cannot parse (blink, mmiu), no model is called here: with
any such response no score is called official, and its two bounds are printed. What their script extracted is taken
instead where a JSON line has it as "prediction", and for blink from the files that their script writes: a folder of
<subtask>.json, one of them, or {{idx: prediction}}.

Below the table stands what the score leaves out: responses read in part or not at all, detections of categories that
there are not, a true box of id 0, coordinates in other units.

A file that is not in order is refused with the record and the key of each fault, and the exit status is 2.
"""


def score_file(name: str, annotations: Path, predictions: Path) -> tuple[BenchmarkScore, Fingerprint]:
    """The score of a predictions file, and the fingerprint of the annotations that it was scored on.

    Raises Refused with file, record and key of every fault in either file.
    """
    suite = benchmark(name)
    data = suite.load(annotations)
    score = suite.score(data, suite.read(predictions, data))
    reached, responses = cut_off_in(predictions)
    if reached:
        note = f"{reached} of {responses} answers reached the limit of their tokens and were cut off there"
        score = replace(score, notes=[*score.notes, note])
    return score, fingerprint(name, annotations, suite.counts(data))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gemvg_repro.benchmarks.score",
        description="The official score of a file of answers, and ours beside it.",
        epilog=_HELP.format(names=", ".join(NAMES)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the benchmark")
    parser.add_argument("--annotations", metavar="FILE", type=Path, required=True, help="the authors' annotation file")
    parser.add_argument("--predictions", metavar="FILE", type=Path, required=True, help="the answers")
    parser.add_argument("--json", action="store_true", help="print the official score as one JSON object")
    parser.add_argument("--store", metavar="FILE", type=Path, help="write all of it, with the fingerprint, as JSON")
    options = parser.parse_args(arguments)
    try:
        score, revision = score_file(options.name, options.annotations, options.predictions)
    except Refused as error:
        print(printable(str(error)), file=sys.stderr)  # noqa: T201
        return 2
    if warning := revision.warning:
        print(printable(warning), file=sys.stderr)  # noqa: T201
    if options.store:
        content = {"benchmark": options.name, "fingerprint": revision.as_json()}
        scored = {"official": score.official, "beside": score.beside, "notes": list(score.notes)}
        text = _json(content | scored) + "\n"
        write_bytes(options.store, text.encode())
    if options.json:
        print(_json(score.official))  # noqa: T201
        _show_notes(score, sys.stderr)
    else:
        _show(options.name, score, revision)
        _show_notes(score, sys.stdout)
    return 0


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, allow_nan=False)


def _show(name: str, score: BenchmarkScore, revision: Fingerprint) -> None:
    """The table for people, and what stands beside it."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    columns = list(dict.fromkeys(column for row in score.rows for column in row))
    table = Table(title=f"{name}, {revision.revision or 'unknown revision'}", title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in score.rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console.print(table, markup=False)


def _show_notes(score: BenchmarkScore, stream: TextIO) -> None:
    for note in score.notes:
        print(printable(f"note: {note}"), file=stream)


def _cell(value: object) -> Text:
    """A value of the table; a name in a file can neither style the table nor break it."""
    from rich.text import Text

    text = "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
    return Text(printable(text))


if __name__ == "__main__":
    sys.exit(main())
