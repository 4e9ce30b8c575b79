"""How is one model scored, in both modes and on every benchmark of the study?"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..benchmarks.fingerprint import fingerprint
from ..benchmarks.generalised import score as generalised
from ..benchmarks.generalised import shortcuts
from ..benchmarks.predictions import PredictionLog
from ..benchmarks.prompts import templates_at
from ..benchmarks.registry import benchmark
from ..benchmarks.responses import visible_text
from ..benchmarks.suites import mig_bench
from ..grounding.parsing import parse_answer
from ..grounding.predictions import Prediction
from ..grounding.samples import MODES, Mode, Sample
from ..models.generation import Prompt, generate
from ..models.loading import load
from ..models.processor import ImageOnlyProcessor
from ..runs import gallery
from ..runs.directory import Run, result_of
from ..runs.layout import GALLERY, MODEL, OFFICIAL, PREDICTIONS, SCORES
from ..runs.progress import ProgressPrinter
from ..study.hub import checkpoint_folder
from ..study.parameters import EvaluateParameters
from ..study.paths import absolute
from ..study.profiles import Profile
from ..study.spec import RunSpec
from ..study.variants import BASE
from . import samples
from .answer_limits import counts, limits_of, with_note
from .data import check_pictures
from .prerequisites import ensure
from .validation_rewards import write_table
from .weights import initial_weights, weights_of


@dataclass(frozen=True)
class Task:
    """Samples that the model is evaluated on in one mode, and how the responses are scored.

    `table` makes one row per sample from the texts and their numbers of tokens; `official` makes the authors' score
    from the texts as their script reads them. A task has one of them or both. `max_new_tokens`: the authors' limit of
    an answer; without one the profile's holds, or what the longest true answer needs.
    """

    benchmark: str
    mode: Mode
    samples: Sequence[Sample]
    table: Callable[[Sequence[str], Sequence[int]], pd.DataFrame] | None = None
    official: Callable[[Sequence[str]], dict[str, Any]] | None = None
    max_new_tokens: int | None = None

    @property
    def name(self) -> str:
        return f"{self.benchmark}-{self.mode}"


def evaluate(spec: RunSpec[EvaluateParameters]) -> Path:
    """Evaluates the model that a notebook asks for, or resumes; returns the run directory.

    Answers are kept as they come, so that nothing is generated twice; scoring follows, and takes no model.
    """
    if spec.parameters.benchmark:
        return _evaluate_published(spec)
    checkpoint = spec.parameters.checkpoint
    given = weights_of(checkpoint_folder(checkpoint)) if checkpoint else None
    prerequisites = ensure(spec)
    torch.set_num_threads(spec.threads)
    weights = given or initial_weights(spec)
    started = time.monotonic()
    if spec.result is None:
        validation, test = samples.held_out(spec)
    with Run.open(spec.parameters.runs_folder, spec.identity.name, spec.identity.parameters) as run:
        if run.finished is None:
            tasks = _tasks(spec, test)
            limits = limits_of(tasks, weights, spec.profile)
            answers = _answer(run, weights, tasks, spec.profile, limits)
            summaries = _score(run, tasks, answers, limits)
            grounding = [s for s in test if s.choice is None]
            _model_free(run, validation, grounding[: spec.parameters.samples or None])
            _draw(run, tasks, answers)
            about = _about(spec.parameters, prerequisites, given)
            run.finish(about | _result(summaries, answers, limits, time.monotonic() - started))
        return run.folder


def _evaluate_published(spec: RunSpec[EvaluateParameters]) -> Path:
    """Evaluates a checkpoint on a published benchmark, with its authors' prompts; scored as by `benchmarks.score`.

    official-*.json in the run directory has the official score, ours beside it, and the fingerprint of the annotations.
    """
    params = spec.parameters
    checkpoint = weights_of(checkpoint_folder(params.checkpoint))
    torch.set_num_threads(spec.threads)
    if spec.result is None:
        root = absolute(params.root)
        task = _published(params.benchmark, params.prompting, root, spec.profile.data.most_pixels)
        check_pictures(benchmark(params.benchmark).annotations(root), task.samples)
    with Run.open(params.runs_folder, spec.identity.name, spec.identity.parameters) as run:
        if run.finished is None:
            started = time.monotonic()
            limits = limits_of([task], checkpoint, spec.profile)
            answers = _answer(run, checkpoint, [task], spec.profile, limits)
            summaries = _score(run, [task], answers, limits)
            about = _about(params, {}, checkpoint)
            run.finish(about | _result(summaries, answers, limits, time.monotonic() - started))
        return run.folder


def _tasks(spec: RunSpec[EvaluateParameters], test: Sequence[Sample]) -> list[Task]:
    """Every benchmark in both modes; grey and shuffled images on the first samples, with direct prompts.

    Those in official formats go through the reader, the questions and the score that the real files go through.
    """
    limit = spec.parameters.samples
    grounding = [s for s in test if s.choice is None][: limit or None]
    choices = [s for s in test if s.choice is not None][: limit or None]
    tasks = []
    for mode in MODES:
        tasks.append(_generalised("generalised", mode, grounding))
        tasks.append(_generalised("understanding", mode, choices))
        for name, root in samples.exported(spec).items():
            tasks.append(_published(name, mode, root, most=limit))
    few = grounding[: spec.profile.evaluate.shortcut_samples]
    tasks.append(_generalised("blind", "direct", shortcuts.grey(few)))
    tasks.append(_generalised("shuffled", "direct", shortcuts.shuffled(few, seed=0)))
    return [task for task in tasks if task.samples]


def _generalised(benchmark: str, mode: Mode, questions: Sequence[Sample]) -> Task:
    return Task(benchmark, mode, questions, lambda texts, tokens: generalised.score(questions, texts, mode, tokens))


def _published(name: str, mode: Mode, root: Path, most_pixels: int | None = None, most: int = 0) -> Task:
    """A benchmark in its authors' files, or about the first `most` samples of it."""
    chosen = benchmark(name)
    file = chosen.annotations(root)
    data = chosen.load(file, None, most_pixels)
    data = chosen.head(data, most) if most else data
    templates = templates_at(root)

    def official(texts: Sequence[str]) -> dict[str, Any]:
        score = chosen.score(data, chosen.parse(data, texts))
        return {
            "headline": {metric: asdict(value) for metric, value in score.headline.items()},
            "official": score.official,
            "beside": score.beside,
            "rows": score.rows,
            "notes": [*score.notes],
            "fingerprint": fingerprint(name, file, chosen.counts(data)).as_json(),
            "asked_in": "its own asking.yaml" if len(templates.files) > 1 else "its authors' words",
        }

    def table(texts: Sequence[str], tokens: Sequence[int]) -> pd.DataFrame:
        return mig_bench.score(data, texts, mode, tokens)

    limit = chosen.max_new_tokens(mode, templates)
    questions = chosen.samples(data, mode, templates)
    return Task(name, mode, questions, table if name == "mig_bench" else None, official, limit)


Answers = dict[str, dict[str, tuple[str, int]]]
"""By the task's name and the sample's id: the text, and its number of tokens."""


def _answer(run: Run, checkpoint: Path, tasks: Sequence[Task], profile: Profile, limits: Mapping[str, int]) -> Answers:
    """All answers, from the predictions files as far as they go; the model is loaded only if any is missing.

    The modes of a benchmark are generated together, since they share its images and most of each prompt.
    """
    settings = profile.evaluate
    benchmarks: dict[str, list[Task]] = {}
    for task in tasks:
        benchmarks.setdefault(task.benchmark, []).append(task)
    answers: Answers = {}
    total = sum(len(task.samples) for task in tasks)
    started = time.monotonic()
    loaded: tuple[Any, ImageOnlyProcessor] | None = None
    fresh = 0
    announce = ProgressPrinter(run.name)
    for together in benchmarks.values():
        with ExitStack() as stack:
            logs = {task.mode: stack.enter_context(_log(run, task)) for task in together}
            questions = [(s, task.mode) for task in together for s in task.samples]
            done_before = {(id, mode) for mode, log in logs.items() for id in log.done}
            if loaded is None and not all((s.id, mode) in done_before for s, mode in questions):
                loaded = load(checkpoint, profile.dtype, profile.max_pixels)
            by_mode = {task.mode: limits[task.name] for task in together}
            for batch in _batches(loaded, questions, done_before, settings.batch, by_mode):
                for mode, log in logs.items():
                    log.append(prediction for prediction in batch if prediction.mode == mode)
                fresh += len(batch)
                done = sum(map(len, answers.values())) + sum(len(log.done) for log in logs.values())
                spent = time.monotonic() - started
                left_s = round(spent / fresh * (total - done), 1)
                run.progress(done, total, left_s)
                announce(done, total, left_s, {})
                run.stop_if_requested()
            for task in together:
                predictions = (logs[task.mode].done[s.id] for s in task.samples)
                answers[task.name] = {each.sample: (each.text, each.tokens) for each in predictions}
    return answers


def _log(run: Run, task: Task) -> PredictionLog:
    return PredictionLog(run.folder / PREDICTIONS.name(task.name), key=f"{run.id}/{task.name}")


def _batches(
    loaded: tuple[Any, ImageOnlyProcessor] | None,
    questions: Sequence[Prompt],
    done: Collection[tuple[str, Mode]],
    batch: int,
    limits: Mapping[Mode, int],
) -> Iterator[list[Prediction]]:
    if loaded is not None:
        yield from generate(*loaded, questions, batch=batch, max_new_tokens=limits, done=done)


def _score(run: Run, tasks: Sequence[Task], answers: Answers, limits: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Writes the scores of each task, by sample and by the authors' rules, and returns their summaries."""
    summaries = {}
    for task in tasks:
        texts, tokens = zip(*(answers[task.name][s.id] for s in task.samples), strict=True)
        if task.table:
            scores = task.table(texts, tokens)
            write_table(run.folder / SCORES.name(task.name), scores)
            summaries[task.name] = generalised.summary(scores) if not task.official else {}
        if task.official:
            content = task.official([visible_text(text, task.mode) for text in texts])
            content = with_note(content, texts, limits[task.name])
            run.write(OFFICIAL.name(task.name), content)
            summaries[task.name] = {name: each["value"] for name, each in content["headline"].items()}
    return summaries


def _model_free(run: Run, validation: Sequence[Sample], test: Sequence[Sample]) -> None:
    """The shortcut baselines that use no image, fitted on validation samples."""
    for name, shortcut in (
        ("constant_box", shortcuts.constant_box),
        ("picture_prior", shortcuts.picture_prior),
    ):
        scores = generalised.score(test, shortcut(validation, test), "direct")
        write_table(run.folder / SCORES.name(f"{name}-direct"), scores)


def _draw(run: Run, tasks: Sequence[Task], answers: Answers) -> None:
    """The gallery of predictions, which the report shows."""
    drawn = {task.mode: task for task in tasks if task.benchmark == "generalised"}
    selection = gallery.choose(drawn["direct"].samples)
    responses: dict[tuple[str, str], gallery.Answer] = {}
    for sample, mode in selection:
        text, _ = answers[drawn[mode].name][sample.id]
        responses[sample.id, mode] = (text, parse_answer(text, len(sample.pictures)).targets)
    gallery.write(run.folder / GALLERY, selection, responses)


def _about(params: EvaluateParameters, prerequisites: Mapping[str, str], given: Path | None) -> dict[str, Any]:
    """The variant and seed that were evaluated; of a given checkpoint those of its run, if it is of one."""
    if given is None:
        seed = None if params.mode == BASE else params.seed
        return {"mode": params.mode, "seed": seed, "prerequisites": {**prerequisites}}
    trained = (result_of(given.parent) if given.name == MODEL else None) or {}
    before = {**trained.get("prerequisites", {}), trained["mode"]: given.parent.name} if "mode" in trained else {}
    return {"mode": trained.get("mode"), "seed": trained.get("seed"), "prerequisites": {**before, **prerequisites}}


def _result(
    summaries: Mapping[str, Mapping[str, Any]], answers: Answers, limits: Mapping[str, int], seconds: float
) -> dict[str, Any]:
    return {
        "metrics": summaries,
        "answers": {name: counts([text for text, _ in task.values()], limits[name]) for name, task in answers.items()},
        "cost": {
            "seconds": round(seconds, 1),
            "tokens_generated": sum(tokens for task in answers.values() for _, tokens in task.values()),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        },
    }
