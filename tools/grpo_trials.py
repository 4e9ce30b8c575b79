"""Which hyperparameters of GRPO are best on validation? Each of SETTINGS with every variant of the paper, starting from
the CoT SFT of pilot seeds, which must be there:

    python sweeps/launch.py --seeds 100 101 102 --runs runs_pilot --only 'cot_sft*'
    python -m tools.grpo_trials runs_pilot

A finished trial is a file in RUNS/trials, and is not repeated. Prints each trial's gain over its start in points of
greedy F1@0.5 on validation, by seed (mean), and in reward of sampled completions; then each setting's gain in the
variants' own modes. All variants share one setting, so that they differ in nothing else: the profile's, unless the best
is ahead of it by more than one standard error over seeds.
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

import torch

from gemvg_repro.benchmarks.generalised import score
from gemvg_repro.corpora.workers import pool
from gemvg_repro.grounding.samples import MODES, Mode, Sample
from gemvg_repro.models.generation import Prompt, generate
from gemvg_repro.models.loading import load
from gemvg_repro.runs.directory import run_id
from gemvg_repro.runs.json_files import write_json
from gemvg_repro.runs.progress import ProgressPrinter
from gemvg_repro.stages import samples
from gemvg_repro.stages.prerequisites import MissingPrerequisite, ensure
from gemvg_repro.stages.train import first_of_each_scene
from gemvg_repro.stages.validation_rewards import sampled_rewards
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

TOKEN, SEQUENCE = {"loss_type": "dapo"}, {"loss_type": "grpo"}
FULL, HALF = {"lr": 5e-5, "muon_lr": 5e-4}, {"lr": 2.5e-5, "muon_lr": 2.5e-4}
COSINE = {"schedule": "cosine_with_min_lr", "final_lr_share": 0.05}
FEWER = {"steps": 20, "prompts": 32}
NO_COUNT = {"weights": {**PROFILE.grpo.weights, "count": 0.0}}

SETTINGS: dict[str, Mapping[str, Any]] = {
    "by token": {**TOKEN, "optimiser": FULL},
    "by token, temperature .7": {**TOKEN, "optimiser": FULL, "temperature": 0.7},
    "by token, temperature .5": {**TOKEN, "optimiser": FULL, "temperature": 0.5},
    "by token, advantages not scaled": {**TOKEN, "optimiser": FULL, "scale_rewards": "none"},
    "by token, no count term": {**TOKEN, "optimiser": FULL, **NO_COUNT},
    "by token, rate falls as a cosine": {**TOKEN, "optimiser": {**FULL, **COSINE}},
    "by token, half the rate": {**TOKEN, "optimiser": HALF},
    "by token, 20 steps of 32 prompts": {**TOKEN, "optimiser": FULL, **FEWER},
    "by sequence": {**SEQUENCE, "optimiser": FULL},
    "by sequence, temperature .7": {**SEQUENCE, "optimiser": FULL, "temperature": 0.7},
    "by sequence, temperature .5": {**SEQUENCE, "optimiser": FULL, "temperature": 0.5},
    "by sequence, temperature .7, 20 of 32": {**SEQUENCE, "optimiser": FULL, "temperature": 0.7, **FEWER},
    "by sequence, half the rate": {**SEQUENCE, "optimiser": HALF},
}
"""The hyperparameters that differ from the profile's, by name of the setting."""

Trial = tuple[str, str, int]
"""A setting, a variant and a seed; (START, "hybrid", seed) is the start of a seed's trials."""
Record = dict[str, Any]
START = "start"


def settings_of(setting: str) -> GRPOSettings:
    """The hyperparameters of GRPO in a trial."""
    overrides = dict(SETTINGS[setting])
    optimiser = replace(PROFILE.grpo.optimiser, **overrides.pop("optimiser"))
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
    started = time.monotonic()
    spec = spec_of(runs, variant, seed)
    model, processor = load(weights_of(start_of(spec)), PROFILE.dtype, PROFILE.max_pixels)
    validation = samples.load(spec, "validation")
    steps: list[dict[str, Any]] = []
    if setting != START:
        settings = settings_of(setting)
        with TemporaryDirectory() as folder:
            train_grpo(
                model, processor, first_of_each_scene(samples.load(spec, "train")),
                validation[: settings.divergence_samples], FORMS[variant], settings,
                collate=ConversationCollator(processor, PROFILE.coordinate_step), seed=seed,
                folder=Path(folder), record=steps.append,
            )  # fmt: skip
    rewards = sampled_rewards(model, processor, validation[: PROFILE.grpo.watched_samples], MODES, PROFILE.grpo, "")
    total = rewards[rewards["term"] == "total"].groupby("mode")["value"].mean()
    record: dict[str, Any] = {
        "trial": trial,
        "kl": steps[-1]["kl"] if steps else 0.0,
        "seconds": round(time.monotonic() - started, 1),
        **{mode: {**greedy(model, processor, validation, mode), "reward": float(total[mode])} for mode in MODES},
    }
    write_json(file_of(runs, trial), record)


def greedy(model: Any, processor: Any, validation: Sequence[Sample], mode: Mode) -> dict[str, float]:
    """Metrics of greedy predictions on the grounding samples; too_few/n: of those with n targets, the share that is
    predicted with fewer."""
    grounding = [s for s in validation if s.choice is None]
    limits = PROFILE.evaluate.max_new_tokens
    prompts: list[Prompt] = [(s, mode) for s in grounding]
    batches = generate(model, processor, prompts, batch=PROFILE.evaluate.batch, max_new_tokens=limits)
    responses = {each.sample: each.text for batch in batches for each in batch}
    scores = score.score(grounding, [responses[s.id] for s in grounding], mode)
    too_few = scores["n_predicted"] < scores["n_true"]
    return score.summary(scores) | {f"too_few/{n}": float(too_few[scores["n_true"] == n].mean()) for n in (2, 3)}


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


def by_trial(records: Mapping[Trial, Record], seeds: Sequence[int]) -> Iterator[str]:
    """A line per variant and setting: greedy F1 by seed, sampled reward, samples with too few boxes in CoT, KL."""
    yield "| | direct | CoT | reward | too few of 2 / 3, % | KL |"
    yield "|---|---|---|---|---|---|"
    trials: Iterable[tuple[str, str]] = (("hybrid", START), *product(VARIANTS, SETTINGS))
    for variant, setting in trials:
        its: list[Trial] = [(setting, variant, seed) for seed in seeds]
        f1 = [points([gain(records, trial, mode, "f1") for trial in its]) for mode in MODES]
        reward = [statistics.mean(gain(records, trial, mode, "reward") for trial in its) for mode in MODES]
        few = [100 * statistics.mean(records[trial]["cot"][f"too_few/{n}"] for trial in its) for n in (2, 3)]
        kl = statistics.mean(records[trial]["kl"] for trial in its)
        name = START if setting == START else f"`{variant}` {setting}"
        cells = [*f1, f"{reward[0]:.3f} / {reward[1]:.3f}", f"{few[0]:.1f} / {few[1]:.1f}", f"{kl:.3f}"]
        yield f"| {name} | {' | '.join(cells)} |"


def in_own_modes(records: Mapping[Trial, Record], setting: str, variant: str, seeds: Sequence[int]) -> list[float]:
    """By seed: a variant's gain in greedy F1, mean over the modes that it trains."""
    modes = FORMS[variant].modes
    return [statistics.mean(gain(records, (setting, variant, s), mode, "f1") for mode in modes) for s in seeds]


def by_setting(records: Mapping[Trial, Record], seeds: Sequence[int]) -> Iterator[str]:
    """A line per setting, best first: the gain of all variants in their own modes, of each, and the distance to it."""
    each = {s: {v: in_own_modes(records, s, v, seeds) for v in VARIANTS} for s in SETTINGS}
    together = {s: [statistics.mean(seed) for seed in zip(*each[s].values(), strict=True)] for s in SETTINGS}
    order = sorted(SETTINGS, key=lambda setting: -statistics.mean(together[setting]))
    yield f"| in own modes | all variants | {' | '.join(f'`{v}`' for v in VARIANTS)} | behind the best, +- s.e. |"
    yield "|---|---|---|---|---|---|"
    for setting in order:
        behind = [100 * (a - b) for a, b in zip(together[order[0]], together[setting], strict=True)]
        error = statistics.stdev(behind) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.nan
        name = setting + " (the profile's)" * (settings_of(setting) == PROFILE.grpo)
        forms = " | ".join(f"{100 * statistics.mean(each[setting][v]):.2f}" for v in VARIANTS)
        yield f"| {name} | {points(together[setting])} | {forms} | {statistics.mean(behind):.2f} +- {error:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder of the pilot's runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102], help="(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="trials side by side, a thread each (default: %(default)s)")
    args = parser.parse_args()
    runs = args.runs.resolve()
    starts: list[Trial] = [(START, "hybrid", seed) for seed in args.seeds]
    trials = [(setting, variant, seed) for variant, setting, seed in product(VARIANTS, SETTINGS, args.seeds)]
    try:
        records = run_trials(runs, [*starts, *trials], args.jobs)
    except MissingPrerequisite as error:
        parser.error(f"{error}\nor all of them by the first command that --help names")
    print(*by_trial(records, args.seeds), "", *by_setting(records, args.seeds), sep="\n")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
