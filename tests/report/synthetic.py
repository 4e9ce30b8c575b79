"""Run directories as training and evaluation write them, with seeded numbers in place of learning.

The images and queries are the miniature's own, the responses are formatted and scored by the real code; only the model
is simulated: it finds a target with a probability that depends on variant and mode.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from gemvg_repro.benchmarks.averages import averages
from gemvg_repro.benchmarks.generalised import score, shortcuts
from gemvg_repro.benchmarks.sample_scores import Average, SampleScore, frame
from gemvg_repro.grounding.answers import format_answer
from gemvg_repro.grounding.samples import GROUNDING_KINDS, MODES, Mode, Sample, Target
from gemvg_repro.miniature.dataset import Recipe, generate
from gemvg_repro.report.expected import Planned
from gemvg_repro.report.labels import SHIFTS
from gemvg_repro.runs import gallery

SKILL = {
    "base": (0.06, 0.03),
    "sft": (0.55, 0.30),
    "cot_sft": (0.56, 0.52),
    "sft_more": (0.59, 0.55),
    "cot": (0.57, 0.60),
    "direct": (0.63, 0.50),
    "hybrid": (0.63, 0.595),
    "joint": (0.62, 0.60),
    "shuffled": (0.56, 0.52),
}
"""Probability to find a target with (direct, CoT) prompts."""

TASKS = ("diff", "view_diff", "common_object", "object_tracking", "multi_view", "region", "refer_grounding",
         "group_grounding", "reasoning", "correspondence")  # fmt: skip

OFFICIAL: dict[str, dict[str, Average]] = {
    "mig_bench": {"IOU@0.5": "macro"},
    "mc_bench": {"weighted_ap50": "weighted_ap50", "image_accuracy": "micro"},
    "odinw13": {"mAP": "map"},
    "muirbench": {"accuracy": "micro"},
}
"""Official metrics, and how each averages its samples."""

GROUPS = {"mig_bench": TASKS, "mc_bench": ("comparison", "reasoning", "referring"), "odinw13": ("Raccoon", "Aquarium")}
"""Of the samples of a benchmark; of another, one."""

EXPORTS = "-exports"
"""Of the name of a run that is evaluated on the exported benchmarks."""

TERMS = {"format": 0.97, "picture": 0.75, "localisation": 0.52, "count": 0.8}

BEFORE = {"sft": "data", "cot_sft": "sft"}
"""The parent of each training; of those not listed, cot_sft."""

STUDY = Planned((), (0,), {"profile": "miniature", "data": "", "images": "", "steps": 0, "samples": 0, "overrides": ""})
"""As the default grid plans it, without its runs."""

_Tasks = dict[tuple[str, str], dict[str, Any]]
"""By benchmark and mode: the names of a task's files."""

VARIANTS = ("base", "sft", "cot_sft", "sft_more", "cot", "direct", "hybrid")
"""Of the default grid."""


def names(seeds: Sequence[int] = (0,), variants: Sequence[str] = VARIANTS) -> list[str]:
    """Names of run directories, in the order of a plan."""
    trained = [v for v in variants if v != "base"]
    plain = ["data", *(f"{v}-s{s}" for s in seeds for v in trained)]
    plain += ["evaluate-base"] * ("base" in variants)
    plain += [f"evaluate-{v}-s{s}" for s in seeds for v in trained]
    return [f"{name}-{_id(name)}" for name in plain]


def build(runs: Path, directories: Sequence[str], samples: int = 500, choices: int = 100) -> None:
    """Writes these run directories, finished, below `runs`: names of `names`, or keys of a plan."""
    recipe = Recipe(seed=0, validation=samples, test=samples, understanding_test=choices)
    test, train = list(generate("test", recipe)), list(generate("validation", recipe))
    known = {_name(directory): directory for directory in directories}
    has_exports = any(EXPORTS in name for name in known)
    for directory in directories:
        name = _name(directory)
        folder = runs / directory
        folder.mkdir(parents=True)
        variant, seed = _variant(name)
        if name == "data":
            result: dict[str, Any] = _cost(40, 0, 0)
        elif name.startswith("evaluate-"):
            own = {} if EXPORTS in name else _own_tests(folder, variant, seed, test, train)
            official = EXPORTS in name or not has_exports  # runs of their own, as the default grid plans them
            result = _evaluation(own | (_exports(folder, variant, seed) if official else {}))
        else:
            result = _training(folder, variant, seed)
            earlier = BEFORE.get(variant, "cot_sft")
            before = earlier if earlier == "data" else f"{earlier}-s{seed}"
            needed = {"data": known.get("data"), earlier: known.get(before)}
            result["prerequisites"] = {mode: name for mode, name in needed.items() if name}
        kind = "data" if name == "data" else "evaluate" if name.startswith("evaluate-") else "train"
        _write(folder / "parameters.json", {"id": directory[-10:], "kind": kind, "mode": variant, "seed": seed})
        _write(folder / "environment.json", _environment())
        named = {"id": directory[-10:], "name": name}
        about: dict[str, Any] = (
            {"mode": variant, "seed": None if variant == "base" else seed, "overrides": {}} if kind != "data" else {}
        )
        _write(folder / "result.json", named | about | result)


def unfinish(folder: Path, step: int = 120, total: int = 250) -> None:
    """Makes the run one that was killed before its end."""
    (folder / "result.json").unlink()
    _write(folder / "progress.json", {"step": step, "total": total, "seconds_left": 60.0, "updated": 0.0})


def responses(samples: Sequence[Sample], variant: str, mode: Mode, seed: int, blind: bool = False) -> list[str]:
    """Texts of a model that finds targets with the variant's probability; variants share most of a sample's noise."""
    shared_rng = np.random.default_rng(7)
    own_rng = np.random.default_rng([seed, sum(variant.encode()), len(mode), blind])
    chance = 0.08 if blind else SKILL[variant][mode == "cot"] + own_rng.normal(0, 0.006)
    return [_answer(sample, chance, mode, shared_rng, own_rng) for sample in samples]


def _answer(sample: Sample, chance: float, mode: Mode, shared_rng: Generator, own_rng: Generator) -> str:
    shared, own = shared_rng.random(8), own_rng.random(8)
    hits = 0.75 * shared + 0.25 * own < chance
    if sample.choice is not None:
        return _response("A" if hits[0] else "D", mode)
    targets = [t if hits[k % 6] else Target(t.picture, _box(own_rng)) for k, t in enumerate(sample.targets)]
    targets = [Target(t.picture, _jittered(t.box, own_rng)) for t in targets]
    if own[6] > 0.9 or (not sample.targets and not hits[0]):
        targets.append(Target(int(own_rng.integers(len(sample.pictures))), _box(own_rng)))
    if own[7] > 0.99:
        return "<|box_start|>(12,"
    return _response(format_answer(targets, 20), mode)


def _response(answer: str, mode: Mode) -> str:
    thought = "The one in picture 1 is a red disc; it costs $5 & <b>more</b>, so I look for it in picture 2."
    return f"{answer if mode == 'direct' else f'<think>{thought}</think><answer>{answer}</answer>'}<|im_end|>"


def _box(rng: Generator) -> tuple[float, float, float, float]:
    (x, y), (w, h) = rng.uniform(0, 0.6, 2), rng.uniform(0.1, 0.4, 2)
    return float(x), float(y), float(x + w), float(y + h)


def _jittered(box: tuple[float, ...], rng: Generator) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = np.clip(np.asarray(box) + rng.normal(0, 0.012, 4), 0, 1)
    return float(x1), float(y1), float(max(x2, x1 + 0.05)), float(max(y2, y1 + 0.05))


def _evaluation(tasks: _Tasks) -> dict[str, Any]:
    whole = {"limited": False}
    done = [{"benchmark": name, "mode": mode, **whole, **of_task} for (name, mode), of_task in tasks.items()]
    return _cost(45, 0, 60_000) | {"tasks": done}


def _own_tests(folder: Path, variant: str, seed: int, test: Sequence[Sample], train: Sequence[Sample]) -> _Tasks:
    """The scores of the study's own evaluation, and its gallery."""
    grounding = [sample for sample in test if sample.kind in GROUNDING_KINDS]
    choice = [sample for sample in test if sample.kind == "understanding"]
    texts_of: dict[str, dict[str, str]] = {}
    files: _Tasks = {}
    for mode in MODES:
        texts = responses(grounding, variant, mode, seed)
        tokens = [8 + len(text) // (9 if mode == "direct" else 4) for text in texts]
        texts_of[mode] = {sample.id: text for sample, text in zip(grounding, texts, strict=True)}
        tables = {"generalised": score.score(grounding, texts, mode, tokens)}
        tables["understanding"] = score.score(choice, responses(choice, variant, mode, seed), mode)
        for shift in SHIFTS:
            tables[shift] = score.score(grounding[:80], texts[:80], mode)
        if mode == "direct":
            subset = grounding[:80]
            grey = responses(subset, variant, mode, seed, blind=True)
            tables["blind"] = score.score(subset, grey, mode)
            tables["understanding_shuffled"] = tables["understanding"]
            tables["shuffled"] = score.score(subset, grey[::-1], mode)
        for name in ("constant_box", "picture_prior") if mode == "direct" else ():
            tables[name] = score.score(grounding, getattr(shortcuts, name)(train, grounding), mode)
        for name, table in tables.items():
            files[name, mode] = {"scores": _written(folder, name, mode, table), "official": None}
    chosen = gallery.choose(test)
    gallery.write(folder / "gallery", [(s, mode, texts_of[mode][s.id]) for s in chosen for mode in MODES])
    return files


def _exports(folder: Path, variant: str, seed: int) -> _Tasks:
    """The official scores of the benchmarks that the miniature exports."""
    rng = np.random.default_rng(seed)
    files: _Tasks = {}
    for mode in MODES:
        for benchmark in OFFICIAL:
            rows, headline = _official(benchmark, SKILL[variant][mode == "cot"], rng)
            official = f"official-{benchmark}-{mode}.json"
            fingerprint = {"revision": None, "file": "made", "certain": False}
            _write(folder / official, {"headline": headline, "fingerprint": fingerprint})
            files[benchmark, mode] = {"scores": _written(folder, benchmark, mode, rows), "official": official}
    return files


def _written(folder: Path, benchmark: str, mode: Mode, table: pd.DataFrame) -> str:
    """The name of the file that the table was written to."""
    name = f"scores-{benchmark}-{mode}.parquet"
    table.to_parquet(folder / name, index=False)
    return name


def _official(benchmark: str, skill: float, rng: Generator, n: int = 200) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of samples that are right with a probability, and the headline that they make."""
    groups, scores = GROUPS.get(benchmark, ("all",)), []
    for metric, average in OFFICIAL[benchmark].items():
        for k, hit in enumerate(rng.random(n) < skill):
            common = (f"{benchmark}/{k}", f"{benchmark}/{k}", groups[k % len(groups)], metric)
            if "ap" in average:
                scores.append(SampleScore(*common, float("nan"), 1, 1, (1.0,), (1023 * int(hit),), (0,)))
            else:
                scores.append(SampleScore(*common, float(hit)))
    rows = frame(scores)
    of_metric = {metric: (rows[rows["of"] == metric], average) for metric, average in OFFICIAL[benchmark].items()}
    return rows, {
        metric: {
            "value": float(averages(part, average, np.arange(n), np.ones((1, n)))[0]),
            "n": n, "average": average, "of": metric,
        }
        for metric, (part, average) in of_metric.items()
    }  # fmt: skip


def _training(folder: Path, variant: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, sum(variant.encode())])
    if variant in ("sft", "cot_sft", "sft_more"):
        steps = np.arange(1, 401)
        loss = (2.5 if variant == "sft" else 0.9) * np.exp(-steps / 90) + 0.45 + rng.normal(0, 0.04, 400)
        rows: list[dict[str, Any]] = [
            {"step": k, "total_steps": 400, "loss": float(value)} for k, value in enumerate(loss, 1)
        ]
        _log(folder, rows)
        return _cost(180 if variant == "sft" else 95, 3_000_000, 0)
    rows = []
    for step in range(1, 121):
        row: dict[str, Any] = {"step": step, "total_steps": 120}
        for term, start in TERMS.items():
            value = min(1.0, start + (1 - start) * 0.25 * step / 120 + rng.normal(0, 0.03))
            row[f"reward/{term}"] = float(value)
        row["reward"] = float(np.mean([row[f"reward/{term}"] for term in TERMS]))
        row |= {
            "zero_variance_share": float(np.clip(0.15 + 0.2 * step / 120 + rng.normal(0, 0.04), 0, 1)),
            "truncated_share": float(np.clip(rng.normal(0.01, 0.01), 0, 1)),
            "clip_share": float(np.clip(rng.normal(0.02, 0.01), 0, 1)),
            "length_mean": float({"cot": 45, "direct": 12}.get(variant, 28) + rng.normal(0, 0.7)),
            "entropy": float(0.5 - 0.15 * step / 120 + rng.normal(0, 0.02)),
        }
        if step % 10 == 0:
            row["kl"] = 0.0004 * step
        if step % 40 == 0:
            row |= {f"greedy/{name}/{mode}": 0.6 + 0.001 * step for mode in MODES for name in ("f1", "reward")}
        rows.append(row)
    _log(folder, rows)
    _validation_rewards(folder, variant, rng)
    cost = _cost(110, 900_000, 400_000)
    cost["cost"] |= {"flops_unshared": 2.5 * cost["cost"]["flops"]}
    return cost


def _validation_rewards(folder: Path, variant: str, rng: Generator, prompts: int = 300) -> None:
    modes = {"cot": ("cot",), "direct": ("direct",)}.get(variant, MODES)
    rows = []
    for mode in modes:
        for term, start in TERMS.items():
            before = np.clip(rng.normal(start, 0.25, prompts), 0, 1)
            after = np.clip(before + rng.normal(0.03, 0.12, prompts), 0, 1)
            for when, values in (("before", before), ("after", after)):
                rows += [(f"validation-{n}", mode, when, term, float(value)) for n, value in enumerate(values)]
    table = pd.DataFrame(rows, columns=["prompt", "mode", "when", "term", "value"])
    total = table.groupby(["prompt", "mode", "when"], as_index=False)["value"].mean().assign(term="total")
    pd.concat([table, total[table.columns]]).to_parquet(folder / "validation-reward.parquet", index=False)


def _cost(seconds: float, trained: int, generated: int) -> dict[str, Any]:
    cost = {"seconds": seconds, "tokens_trained": trained, "tokens_generated": generated}
    speed = {"steps": 100, "seconds_of_steps": 0.9 * seconds, "tokens_per_second": trained / (0.9 * seconds)}
    parts = {"seconds_train": 0.45 * seconds, "seconds_optimise": 0.18 * seconds} if trained else {}
    cost |= {"flops": 6e6 * trained, "peak_memory_mb": 1900.0, **(speed if trained else {}), **parts}
    return {"metrics": {}, "cost": cost}


def _environment() -> dict[str, Any]:
    return {
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "host": "<script>alert(1)</script>",
        "platform": "Linux-6.1-x86_64",
        "cpus": 2,
        "threads": {"OMP_NUM_THREADS": "1"},
        "versions": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0"},
        "started": "2026-01-01T00:00:00+0000",
        "earlier": [],
    }


def _log(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), "utf-8")


def _id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:10]


def _name(directory: str) -> str:
    return directory[:-11]


def _variant(name: str) -> tuple[str, int]:
    match = re.fullmatch(rf"(?:evaluate-)?([a-z_]+)(?:{EXPORTS})?(?:-s(\d+))?", name)
    assert match is not None
    return match[1], int(match[2] or 0)
