"""How is one model scored, in both modes and on every benchmark of the study?"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from ..benchmarks.generalised import score as generalised_score
from ..benchmarks.generalised import shortcuts
from ..benchmarks.predictions import PredictionLog
from ..benchmarks.registry import benchmark
from ..benchmarks.responses import visible_text
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
from ..study.parameters import EXPORTED, EvaluateParameters
from ..study.profiles import Profile
from ..study.spec import RunSpec
from ..study.variants import BASE
from . import samples
from .answer_limits import counts, limits_of, with_note
from .data import check_pictures
from .peak_memory import peak_memory
from .prerequisites import ensure
from .tasks import Task, generalised, published
from .validation_rewards import write_table
from .weights import initial_weights, weights_of


def evaluate(spec: RunSpec[EvaluateParameters]) -> Path:
    """Evaluates the model that a notebook asks for, or resumes; returns the run directory.

    Answers are kept as they come, so that nothing is generated twice; scoring follows, and takes no model.
    """
    checkpoint = spec.parameters.checkpoint
    given = weights_of(checkpoint_folder(checkpoint)) if checkpoint else None
    prerequisites = ensure(spec)
    torch.set_num_threads(spec.threads)
    weights = given or initial_weights(spec)
    started = time.monotonic()
    if spec.result is None:
        measured: _Benchmarks | _OwnTests = _Benchmarks(spec) if spec.parameters.benchmarks else _OwnTests(spec)
    with Run.open(spec.parameters.runs_folder, spec.identity.name, spec.identity.parameters) as run:
        if run.finished is None:
            limits = limits_of(measured.tasks, weights, spec.profile)
            answers = _answer(run, weights, measured.tasks, spec.profile, limits)
            summaries = _score(run, measured.tasks, answers, limits)
            tasks = [*(task.as_json() for task in measured.tasks), *measured.without_model(run, answers)]
            about = _about(spec, prerequisites, given) | {"tasks": tasks}
            run.finish(about | _result(summaries, answers, limits, time.monotonic() - started))
        return run.folder


class _Benchmarks:
    """Published benchmarks, with their authors' prompts, each in both modes; scored as by `benchmarks.score`.

    official-*.json in the run directory has the official score, ours beside it, and the fingerprint of the annotations.
    Those that the data run exports go through the reader, the prompts and the score that the real files go through.
    """

    def __init__(self, spec: RunSpec[EvaluateParameters]) -> None:
        exports, most = samples.exported(spec), spec.parameters.samples
        self.tasks: list[Task] = []
        for name, given in spec.parameters.roots.items():
            root, most_pixels = (given, spec.profile.data.most_pixels) if given else (exports[name], None)
            self.tasks += [published(name, mode, root, most_pixels, most) for mode in MODES]
            if given:
                check_pictures(benchmark(name).annotations(root), self.tasks[-1].samples)

    def without_model(self, run: Run, answers: Answers) -> list[dict[str, Any]]:
        """They have no baselines."""
        return []


class _OwnTests:
    """The held-out samples in both modes; grey and shuffled images on the first of them, and shuffled ones with
    the multiple-choice questions, with direct prompts."""

    def __init__(self, spec: RunSpec[EvaluateParameters]) -> None:
        self._validation, test = samples.held_out(spec)
        limit = spec.parameters.samples or None
        self._grounding = [s for s in test if s.choice is None][:limit]
        choices = [s for s in test if s.choice is not None][:limit]
        few = self._grounding[: spec.profile.evaluate.shortcut_samples]
        tasks = [generalised("generalised", mode, self._grounding) for mode in MODES]
        tasks += [generalised("understanding", mode, choices) for mode in MODES]
        for shift, questions in samples.shifted(spec).items():
            tasks += [generalised(shift, mode, questions[:limit]) for mode in MODES]
        tasks.append(generalised("blind", "direct", shortcuts.grey(few)))
        tasks.append(generalised("shuffled", "direct", shortcuts.shuffled(few, seed=0)))
        if choices:
            tasks.append(generalised("understanding_shuffled", "direct", shortcuts.shuffled(choices, seed=0)))
        self.tasks = [task for task in tasks if task.samples]

    def without_model(self, run: Run, answers: Answers) -> list[dict[str, Any]]:
        """Draws the gallery, and scores the baselines that take no model; returns what result.json has of these."""
        _draw(run, self.tasks, answers)
        return _model_free(run, self._validation, self._grounding)


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
            summaries[task.name] = generalised_score.summary(scores) if not task.official else {}
        if task.official:
            content = task.official([visible_text(text, task.mode) for text in texts])
            content = with_note(content, texts, limits[task.name])
            run.write(OFFICIAL.name(task.name), content)
            summaries[task.name] = {name: each["value"] for name, each in content["headline"].items()}
    return summaries


def _model_free(run: Run, validation: Sequence[Sample], test: Sequence[Sample]) -> list[dict[str, Any]]:
    """The shortcut baselines that use no image, fitted on validation samples; as result.json has them."""
    baselines = {"constant_box": shortcuts.constant_box, "picture_prior": shortcuts.picture_prior}
    tasks = []
    for name, shortcut in baselines.items():
        texts = shortcut(validation, test)
        task = generalised(name, "direct", test)
        write_table(run.folder / SCORES.name(task.name), generalised_score.score(test, texts, "direct"))
        tasks.append(task.as_json() | {"predictions": None})
    return tasks


def _draw(run: Run, tasks: Sequence[Task], answers: Answers) -> None:
    """The gallery of predictions, which the report shows."""
    drawn = [task for task in tasks if task.benchmark == "generalised"]
    selection = gallery.choose(drawn[0].samples)
    texts = [(sample, task.mode, answers[task.name][sample.id][0]) for sample in selection for task in drawn]
    gallery.write(run.folder / GALLERY, texts)


def _about(spec: RunSpec[EvaluateParameters], prerequisites: Mapping[str, str], given: Path | None) -> dict[str, Any]:
    """What was evaluated: variant, seed and overrides, of a given checkpoint those of its run, if it is of one."""
    params, before = spec.parameters, dict(prerequisites)
    seed = None if params.mode == BASE else params.seed
    trained: dict[str, Any] = {"mode": params.mode, "seed": seed, "overrides": dict(spec.identity.overrides)}
    if given is not None:
        trained = (result_of(given.parent) if given.name == MODEL else None) or {}
        before |= trained.get("prerequisites", {}) | ({trained["mode"]: given.parent.name} if "mode" in trained else {})
    return {
        "mode": trained.get("mode"),
        "seed": trained.get("seed"),
        "overrides": trained.get("overrides", {}),
        "profile": params.profile,
        "prerequisites": before,
        "model": spec.identity.parameters["model"],
        "benchmarks": {name: str(root or EXPORTED) for name, root in params.roots.items()},
    }


def _result(
    summaries: Mapping[str, Mapping[str, Any]], answers: Answers, limits: Mapping[str, int], seconds: float
) -> dict[str, Any]:
    return {
        "metrics": summaries,
        "answers": {name: counts([text for text, _ in task.values()], limits[name]) for name, task in answers.items()},
        "cost": {
            "seconds": round(seconds, 1),
            "tokens_generated": sum(tokens for task in answers.values() for _, tokens in task.values()),
            **peak_memory(),
        },
    }
