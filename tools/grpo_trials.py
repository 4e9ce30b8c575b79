"""Which hyperparameters of GRPO are best on validation? Each of SETTINGS with every variant of the paper, starting from
the CoT SFT of pilot seeds, which must be there:

    python sweeps/launch.py --seeds 100 101 102 --runs runs_pilot --only 'cot_sft*'
    python -m tools.grpo_trials runs_pilot

A finished trial is a file in RUNS/trials, and is not repeated. Prints each trial's gain over its start in points of
greedy F1@0.5 on validation, by seed (mean), and in reward of sampled completions; then each setting's gain in the
variants' own modes. All variants share one setting, so that they differ in nothing else: the profile's, unless the best
is ahead of it by more than one standard error: over seeds, or with one seed over validation samples.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from gemvg_repro.benchmarks.generalised import score
from gemvg_repro.corpora.workers import pool
from gemvg_repro.grounding.parsing import parse_answer
from gemvg_repro.grounding.rewards import Reward
from gemvg_repro.grounding.samples import MODES, Mode, Sample
from gemvg_repro.models.generation import Prompt, generate
from gemvg_repro.models.loading import load
from gemvg_repro.runs.directory import run_id
from gemvg_repro.runs.json_files import write_json
from gemvg_repro.runs.progress import ProgressPrinter
from gemvg_repro.stages import samples
from gemvg_repro.stages.prerequisites import MissingPrerequisite, ensure
from gemvg_repro.stages.weights import weights_of
from gemvg_repro.study.parameters import TrainParameters
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.study.spec import RunSpec, resolve
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.collator import ConversationCollator
from gemvg_repro.training.grpo import train_grpo
from gemvg_repro.training.settings import GRPOSettings

PROFILE = load_profile("miniature")
VARIANTS: tuple[str, ...] = ("cot", "direct", "hybrid")

SUM: dict[str, Any] = {
    "loss_type": "grpo", "scale_rewards": "group",
    "weights": {"format": 0.5, "picture": 0.5, "localisation": 1.0, "count": 0.5, "f1": 0.0},
}  # fmt: skip
CONSTANT = {"lr": 2.5e-5, "muon_lr": 2.5e-4, "schedule": "constant_with_warmup", "final_lr_share": 1.0}

SETTINGS: dict[str, Mapping[str, Any]] = {
    "F1": {},
    "40 steps": {**SUM, "steps": 40, "optimiser": CONSTANT},
    "sum": SUM,
    "F1, temperature .7": {"temperature": 0.7},
    "F1, groups of 16": {"prompts": 8, "rollouts": 16},
    "F1, 800 steps": {"steps": 800},
}
"""The hyperparameters that differ from the profile's, by name of the setting."""

Trial = tuple[str, str, int]
"""A setting, a variant and a seed; (START, "hybrid", seed) is the start of a seed's trials."""
Record = dict[str, Any]
START = "start"

COUNTS = ("kind", "tp", "n_true", "n_predicted")
LOGGED = ("step", "reward", "entropy", "zero_variance_share", "length_mean", "grad_norm", "seconds", "kl")
CURVE_EVERY = 100
DRAWS, DRAWN_SAMPLES = 8, 300
REWARD = SUM["weights"]
"""Of draws, whatever a trial is trained on: one measure for all."""


def settings_of(setting: str) -> GRPOSettings:
    """The hyperparameters of GRPO in a trial."""
    overrides = dict(SETTINGS[setting])
    optimiser = replace(PROFILE.grpo.optimiser, **overrides.pop("optimiser", {}))
    return replace(PROFILE.grpo, optimiser=optimiser, **overrides)


@cache
def spec_of(runs: Path, variant: str, seed: int) -> RunSpec[TrainParameters]:
    """The training of the study that a trial stands for; the runs that it needs are finished."""
    params = {"runs": str(runs), "mode": variant, "seed": seed, "prerequisites": "require"}
    spec = resolve(TrainParameters.check(params))
    ensure(spec)
    return spec


def start_of(spec: RunSpec[TrainParameters]) -> Path:
    """The directory of the CoT SFT that all trials start from."""
    assert spec.start is not None
    return spec.start.folder


def file_of(runs: Path, trial: Trial) -> Path:
    """The file of a trial's record; its name is a hash of all that moves the trial."""
    setting, variant, seed = trial
    settings = {} if setting == START else asdict(settings_of(setting))
    start = start_of(spec_of(runs, variant, seed)).name
    return runs / "trials" / f"{run_id({'start': start, 'variant': variant, 'grpo': settings})}.json"


def run_trial(runs: Path, trial: Trial) -> None:
    """Trains, unless the trial is the start itself, evaluates on validation, and writes the record; one thread."""
    torch.set_num_threads(1)
    setting, variant, seed = trial
    spec = spec_of(runs, variant, seed)
    model, processor = load(weights_of(start_of(spec)), PROFILE.dtype, PROFILE.max_pixels)
    validation = samples.load(spec, "validation")
    steps: list[dict[str, Any]] = []
    curve: dict[int, dict[str, float]] = {}
    measuring = 0.0

    def watch(step: int) -> dict[str, float]:
        nonlocal measuring
        if step and step % CURVE_EVERY == 0 and step < settings.steps:
            before = time.process_time()
            curve[step] = {mode: greedy(model, processor, validation, mode)["f1"] for mode in FORMS[variant].modes}
            measuring += time.process_time() - before
        return {}

    cpu = time.process_time()
    if setting != START:
        settings = settings_of(setting)
        with TemporaryDirectory() as folder:
            train_grpo(
                model, processor, samples.for_training(spec).prompts,
                validation[: settings.divergence_samples], FORMS[variant], settings,
                collate=ConversationCollator(processor, PROFILE.coordinate_step), seed=seed,
                folder=Path(folder), record=steps.append, watch=watch,
            )  # fmt: skip
    trained = time.process_time() - cpu - measuring
    drawn = {mode: draws(model, processor, validation[:DRAWN_SAMPLES], mode) for mode in MODES}
    record: dict[str, Any] = {
        "trial": trial,
        "kl": steps[-1]["kl"] if steps else 0.0,
        "cpu_s_training": round(trained, 1),
        "curve": curve,
        "steps": [{k: entry.get(k) for k in LOGGED} for entry in steps],
        **{mode: {**greedy(model, processor, validation, mode), **drawn[mode]} for mode in MODES},
    }
    write_json(file_of(runs, trial), record)


def greedy(model: Any, processor: Any, validation: Sequence[Sample], mode: Mode) -> dict[str, Any]:
    """Metrics of greedy predictions on the grounding samples; too_few/n: of those with n targets, the share that is
    predicted with fewer; scores: kind, true positives, true and predicted boxes of each sample."""
    grounding = [s for s in validation if s.choice is None]
    limits = PROFILE.evaluate.max_new_tokens
    prompts: list[Prompt] = [(s, mode) for s in grounding]
    batches = generate(model, processor, prompts, batch=PROFILE.evaluate.batch, max_new_tokens=limits)
    responses = {each.sample: each.text for batch in batches for each in batch}
    scores = score.score(grounding, [responses[s.id] for s in grounding], mode)
    too_few = scores["n_predicted"] < scores["n_true"]
    return {
        **score.summary(scores),
        **{f"too_few/{n}": float(too_few[scores["n_true"] == n].mean()) for n in (2, 3)},
        "scores": scores[[*COUNTS]].to_numpy().tolist(),
    }


def draws(model: Any, processor: Any, validation: Sequence[Sample], mode: Mode) -> dict[str, float]:
    """Of DRAWS sampled answers to each sample: F1 of an answer, of the best by reward, and the reward of each."""
    reward, by_id = Reward(REWARD), {s.id: s for s in validation}
    answers: dict[str, list[tuple[float, float]]] = {s.id: [] for s in validation}
    prompts: list[Prompt] = [(s, mode) for s in validation for _ in range(DRAWS)]
    limits = PROFILE.evaluate.max_new_tokens
    for batch in generate(
        model, processor, prompts, batch=PROFILE.evaluate.batch, max_new_tokens=limits, temperature=1.0
    ):
        for each in batch:
            sample = by_id[each.sample]
            value = reward(sample, parse_answer(each.text, len(sample.pictures)), mode)
            answers[sample.id].append((value.total, value.terms["f1"]))
    every, best = [one for of in answers.values() for one in of], [max(of) for of in answers.values()]
    return {
        "reward": statistics.mean(total for total, _ in every),
        "f1_draw": statistics.mean(f1 for _, f1 in every),
        "f1_best": statistics.mean(f1 for _, f1 in best),
    }


def run_trials(runs: Path, trials: Sequence[Trial], jobs: int) -> dict[Trial, Record]:
    """The records of all trials; those that are missing run now, so many at a time."""
    missing = [trial for trial in trials if not file_of(runs, trial).is_file()]
    (runs / "trials").mkdir(exist_ok=True)
    announce, started = ProgressPrinter("trials", every_s=0.0), time.monotonic()
    with pool(jobs) as submit:
        for done, future in enumerate(as_completed([submit(run_trial, runs, trial) for trial in missing]), 1):
            future.result()
            announce(done, len(missing), (time.monotonic() - started) / done * (len(missing) - done), {})
    return {trial: json.loads(file_of(runs, trial).read_text("utf-8")) for trial in trials}


def gain(records: Mapping[Trial, Record], trial: Trial, mode: Mode, measure: str) -> float:
    """A trial's gain over its start in a metric."""
    start: Trial = (START, "hybrid", trial[-1])
    more: float = records[trial][mode][measure] - records[start][mode][measure]
    return more


def points(numbers: Sequence[float]) -> str:
    """Shares by seed, as points, and their mean."""
    return f"{', '.join(f'{100 * x:.1f}' for x in numbers)} ({100 * statistics.mean(numbers):.1f})"


def by_trial(records: Mapping[Trial, Record], settings: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """A line per variant and setting: greedy F1 by seed, reward and F1 of sampled answers, samples with too few boxes
    in CoT, KL, CPU seconds of the training."""
    yield "| | direct | CoT | reward | F1 of a draw / best of 8, direct | CoT | too few of 2 / 3, % | KL | CPU s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    trials: Iterable[tuple[str, str]] = (("hybrid", START), *product(VARIANTS, settings))
    for variant, setting in trials:
        its: list[Trial] = [(setting, variant, seed) for seed in seeds]
        f1 = [points([gain(records, trial, mode, "f1") for trial in its]) for mode in MODES]
        reward = [statistics.mean(gain(records, trial, mode, "reward") for trial in its) for mode in MODES]
        few = [100 * statistics.mean(records[trial]["cot"][f"too_few/{n}"] for trial in its) for n in (2, 3)]
        kl, cpu = (statistics.mean(records[trial][name] for trial in its) for name in ("kl", "cpu_s_training"))
        name = START if setting == START else f"`{variant}` {setting}"
        drawn = [
            " / ".join(
                f"{100 * statistics.mean(records[t][m][what] for t in its):.1f}" for what in ("f1_draw", "f1_best")
            )
            for m in MODES
        ]
        cells = [
            *f1,
            f"{reward[0]:.3f} / {reward[1]:.3f}",
            *drawn,
            f"{few[0]:.1f} / {few[1]:.1f}",
            f"{kl:.3f}",
            f"{cpu:.0f}",
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def in_own_modes(records: Mapping[Trial, Record], setting: str, variant: str, seeds: Sequence[int]) -> list[float]:
    """By seed: a variant's gain in greedy F1, mean over the modes that it trains."""
    modes = FORMS[variant].modes
    return [statistics.mean(gain(records, (setting, variant, s), mode, "f1") for mode in modes) for s in seeds]


def over_samples(records: Mapping[Trial, Record], one: str, other: str, seed: int) -> float:
    """The standard error over validation samples, paired, of the difference of two settings' gains in own modes."""
    rng = np.random.default_rng(0)
    pairs = [(variant, mode) for variant in VARIANTS for mode in FORMS[variant].modes]
    share = {variant: 1 / len(FORMS[variant].modes) / len(VARIANTS) for variant in VARIANTS}
    tables = {
        (setting, *pair): pd.DataFrame(records[setting, pair[0], seed][pair[1]]["scores"], columns=COUNTS)
        for setting in (one, other)
        for pair in pairs
    }
    kinds = next(iter(tables.values()))["kind"].to_numpy()
    rows_of = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    counts = {key: table[["tp", "n_true", "n_predicted"]].to_numpy(float) for key, table in tables.items()}

    def f1(key: tuple[str, str, Mode], rows: Sequence[Any]) -> float:
        sums = [counts[key][of_kind].sum(0) for of_kind in rows]
        return statistics.mean(float(2 * tp / (true + predicted)) for tp, true, predicted in sums)

    differences = []
    for _ in range(500):
        rows = [rng.choice(of_kind, len(of_kind)) for of_kind in rows_of]
        differences.append(sum(share[p[0]] * (f1((one, *p), rows) - f1((other, *p), rows)) for p in pairs))
    return statistics.stdev(differences)


def by_setting(records: Mapping[Trial, Record], settings: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """A line per setting, best first: the gain of all variants in their own modes, of each, and the distance to it."""
    each = {s: {v: in_own_modes(records, s, v, seeds) for v in VARIANTS} for s in settings}
    together = {s: [statistics.mean(seed) for seed in zip(*each[s].values(), strict=True)] for s in settings}
    order = sorted(settings, key=lambda setting: -statistics.mean(together[setting]))
    yield f"| in own modes | all variants | {' | '.join(f'`{v}`' for v in VARIANTS)} | behind the best, +- s.e. |"
    yield "|---|---|---|---|---|---|"
    for setting in order:
        behind = [100 * (a - b) for a, b in zip(together[order[0]], together[setting], strict=True)]
        error = statistics.stdev(behind) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.nan
        if len(seeds) == 1 and setting != order[0]:
            error = 100 * over_samples(records, order[0], setting, seeds[0])
        name = setting + " (the profile's)" * (settings_of(setting) == PROFILE.grpo)
        forms = " | ".join(f"{100 * statistics.mean(each[setting][v]):.2f}" for v in VARIANTS)
        yield f"| {name} | {points(together[setting])} | {forms} | {statistics.mean(behind):.2f} +- {error:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.grpo_trials",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, help="the folder of the pilot's runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102], help="(default: %(default)s)")
    parser.add_argument("--settings", nargs="+", choices=[*SETTINGS], default=[*SETTINGS], help="(default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="trials side by side, a thread each (default: %(default)s)")
    args = parser.parse_args()
    runs = args.runs.resolve()
    starts: list[Trial] = [(START, "hybrid", seed) for seed in args.seeds]
    trials = [(setting, variant, seed) for seed, setting, variant in product(args.seeds, args.settings, VARIANTS)]
    try:
        records = run_trials(runs, [*starts, *trials], args.jobs)
    except MissingPrerequisite as error:
        parser.error(f"{error}\nor all of them by the first command that --help names")
    print(*by_trial(records, args.settings, args.seeds), "", sep="\n")
    print(*by_setting(records, args.settings, args.seeds), sep="\n")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
