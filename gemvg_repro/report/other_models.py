"""How does another model's file of answers enter the report? Scored by this project's evaluators, as a run of its own.

    python -m gemvg_repro.report.other_models mig_bench --model Migician --annotations MIG_data.json \\
        --predictions answers.jsonl [--runs runs]

The files are those of `python -m gemvg_repro.benchmarks.score`. The report shows the model beside the published rows,
and a claim against it is then of paired answers.
"""

from __future__ import annotations

import argparse
import io
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..benchmarks import sample_scores
from ..benchmarks.fingerprint import fingerprint
from ..benchmarks.registry import NAMES, benchmark
from ..files.atomic import write_bytes
from ..files.hashing import sha256
from ..files.validation import Refused, printable
from ..runs.directory import Run
from ..runs.layout import OFFICIAL, SCORES
from .numbers.collect import ANSWERS


def store(name: str, model: str, annotations: Path, predictions: Path, runs: Path, command: str = "") -> Path:
    """Scores the answers of `model` to benchmark `name`, and writes the finished run `answers-<model>-<name>-<id>`.

    The id follows from both files' content. `command` is what the report says made it.

    Raises Refused with file, record and key of every fault in either file.
    """
    suite = benchmark(name)
    data = suite.load(annotations)
    parsed = suite.read(predictions, data)
    score, samples = suite.score(data, parsed), suite.sample_scores(data, parsed)
    revision = fingerprint(name, annotations, suite.counts(data))
    given = {"annotations": revision.sha256, "predictions": sha256(predictions)}
    parameters = {"kind": ANSWERS, "benchmark": name, "model": model, **given}
    with Run.open(runs, f"{ANSWERS}-{_slug(model)}-{name}", parameters) as run:
        if run.finished is None:
            content = io.BytesIO()
            sample_scores.frame(samples).to_parquet(content, index=False)
            write_bytes(run.folder / SCORES.name(name), content.getvalue())
            headline = {metric: asdict(value) for metric, value in score.headline.items()}
            about = {"headline": headline, "notes": [*score.notes], "fingerprint": revision.as_json()}
            run.write(OFFICIAL.name(name), about)
            task = {"benchmark": name, "mode": "", "samples": len({s.sample for s in samples}), "limited": False}
            files = {"predictions": None, "scores": SCORES.name(name), "official": OFFICIAL.name(name)}
            run.finish({"mode": model, "seed": None, "overrides": {}, "command": command, "tasks": [task | files]})
        return run.folder


def _slug(model: str) -> str:
    return re.sub(r"[^a-z0-9.=]+", "_", model.lower()).strip("_.=") or "model"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gemvg_repro.report.other_models",
        description="Another model's answers as a row of the report.",
        epilog="The formats of both files: python -m gemvg_repro.benchmarks.score --help",
    )
    parser.add_argument("name", metavar="NAME", choices=[*NAMES], help=f"the benchmark: {', '.join(NAMES)}")
    parser.add_argument("--model", required=True, help="its name in the tables, as in published.yaml if it is there")
    parser.add_argument("--annotations", metavar="FILE", type=Path, required=True, help="the authors' annotation file")
    parser.add_argument("--predictions", metavar="FILE", type=Path, required=True, help="the model's answers")
    parser.add_argument("--runs", metavar="FOLDER", type=Path, default=Path("runs"), help="where the run is written")
    options = parser.parse_args(arguments)
    given = [*(arguments if arguments is not None else sys.argv[1:])]
    command = shlex.join(["python", "-m", "gemvg_repro.report.other_models", *given])
    files = options.annotations, options.predictions
    try:
        folder = store(options.name, options.model, *files, options.runs, command)
    except Refused as error:
        print(printable(str(error)), file=sys.stderr)  # noqa: T201
        return 2
    print(folder)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
