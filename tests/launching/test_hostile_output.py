"""Whatever a model or a notebook prints is data: it steers no terminal, breaks no line, and megabytes do no harm."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from gemvg_repro.files.validation import printable
from gemvg_repro.launching.notebook import _failure_message
from gemvg_repro.launching.status import JobStatus, explain, job_statuses
from gemvg_repro.launching.status_table import as_json, line, table
from gemvg_repro.report.page.escaping import escaped_html, escaped_latex
from gemvg_repro.runs.log import Log
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.parameters import ParameterError, TrainParameters
from gemvg_repro.study.plan import Job, plan

from .. import tiny_project
from ..sweeps.test_launch import launch

HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b1;1H\r\x08\x00\x7f\u202e[red]<script>alert(1)</script>"
    "\u2028$(reboot)\\input{x}[/red]\ud800 "
)

bounded = settings(max_examples=200, deadline=None, derandomize=True)


def steers(text: str) -> bool:
    return any(not sign.isprintable() and sign != "\n" for sign in text)


@pytest.fixture
def failed(tmp_path: Path) -> Job:
    """A job whose notebook failed with hostile words, after printing megabytes of them."""
    root = tiny_project.project(tmp_path)
    file = root / "sweeps" / "miniature.yaml"
    job = next(j for j in plan(Grid.load(file), file, root, root / "runs") if j.name == "sft-s0")
    job.files.folder.mkdir(parents=True)
    job.files.failure.write_text(f"{HOSTILE}\n{HOSTILE * 100}", "utf-8", "surrogatepass")
    job.files.log.write_bytes((HOSTILE * 20_000 + "\n" + HOSTILE + "\n").encode("utf-8", "surrogatepass"))
    return job


def test_how_a_study_stands_is_plain_text(failed: Job, tmp_path: Path) -> None:
    (status,) = job_statuses([failed])
    assert status.state == "failed"
    began = time.process_time()
    text = explain(status)
    assert not steers(text) and "owned" in text and len(text) < 50_000
    assert time.process_time() - began < 1
    assert not steers(line(JobStatus(failed, "blocked", note=HOSTILE)))
    screen = io.StringIO()
    Console(file=screen, width=200).print(table([status, JobStatus(failed, "running", note=HOSTILE)]))
    assert not steers(screen.getvalue())
    assert json.dumps(as_json(status)).isascii()


def test_the_launcher_prints_plain_text(failed: Job, tmp_path: Path) -> None:
    for arguments in (("--status",), ("--logs", "sft-s0")):
        _, out, error = launch(tmp_path, *arguments)
        assert not steers(out + error) and "owned" in out


def test_the_error_of_a_cell_is_passed_on_without_its_signs_and_its_megabytes(failed: Job, tmp_path: Path) -> None:
    error = nbformat.v4.new_output("error", ename="ValueError", evalue=HOSTILE * 100_000, traceback=[HOSTILE])
    cell = nbformat.v4.new_code_cell("1", execution_count=4, outputs=[error])
    part = tmp_path / "notebook.part.ipynb"
    part.write_text(json.dumps(nbformat.v4.new_notebook(cells=[cell])))
    message = _failure_message(failed, part, 1)
    assert "in cell [4]: ValueError: " in message and not steers(message) and len(message) < 10_000


def test_a_log_keeps_any_words_on_one_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    for step in (1, 2):
        log.append({"step": step, "words": HOSTILE})
    assert log.path.read_bytes().isascii() and log.path.read_bytes().count(b"\n") == 2
    assert [record["words"] for record in Log(log.path).records()] == [HOSTILE, HOSTILE]


def test_a_wrong_parameter_of_megabytes_is_refused_in_a_few_lines() -> None:
    began = time.process_time()
    with pytest.raises(ParameterError) as caught:
        TrainParameters.check({"mode": HOSTILE * 50_000, HOSTILE: 1, "data": HOSTILE * 50_000})
    assert len(str(caught.value)) < 3000 and not steers(str(caught.value))
    assert time.process_time() - began < 1


@given(st.one_of(st.text(), st.text("<>&\"'\\{}$%#_^~|\x1b\x00\u202e\ud800a ")))
@bounded
def test_nothing_escapes_from_html_latex_or_the_terminal(text: str) -> None:
    assert not set("<>\"'") & set(escaped_html(text)) and not steers(escaped_html(text))
    assert not steers(printable(text))
    latex = escaped_latex(text)
    for command in (
        r"\textbackslash{}",
        r"\textasciitilde{}",
        r"\textasciicircum{}",
        r"\textless{}",
        r"\textgreater{}",
    ):
        latex = latex.replace(command, "")
    for command in (r"\textbar{}", r"$\uparrow$", r"$\downarrow$", *(f"\\{sign}" for sign in "&%$#_{}")):
        latex = latex.replace(command, "")
    assert not set("\\&%$#_{}~^<>|") & set(latex)
