"""How many CPU seconds does a step of GRPO take beside the model?

    python -m tools.step_overhead [--against FOLDER] [--prompts 16] [--workers 0] [--rounds 2] [--mode cot]

A step at the paper's sizes: prompts of four JPEG photographs of 0.4 megapixels, eight rollouts each. Decoding pictures,
making patches, putting them in order, comparing them, prompts, rewards: all but the model, whose layers are replaced by
ones that return zeros at once, and generation, which returns random tokens. CPU time of this process and of its workers
together, from the end of the first step to that of the last; each tree in a process of its own, in alternation.

`--against`: a checkout of an earlier version, such as `git worktree add FOLDER fc20201`. The names of that version's
functions are known here too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

STEPS = 3
SIDE = 632
PICTURES, ROLLOUTS, MICRO_BATCH = 4, 8, 4
MAX_PIXELS = 401408

NAMES = {
    "train_grpo": [("training.grpo", "train_grpo"), ("training.grpo", "reinforce")],
    "FilePicture": [("files.pictures", "FilePicture"), ("corpora.pictures", "FilePicture")],
    "form": [("study.variants", "FORMS"), ("training.variants", "FORMS")],
}
"""Where each name is now, and where it was at fc20201."""


def named(name: str) -> tuple[Any, bool]:
    """The object, and whether it is where it is now."""
    for number, (module, attribute) in enumerate(NAMES[name]):
        try:
            return getattr(import_module(f"gemvg_repro.{module}"), attribute), number == 0
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"gemvg_repro at {import_module('gemvg_repro').__path__} has no {name} that is known here")


def photographs(folder: Path, count: int) -> None:
    """JPEG files of smooth colours with some noise, which decode and compress as photographs do."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number}.jpg", quality=90)


def without_model() -> None:
    """Replaces the layers of transformers' Qwen2-VL, and generation."""
    from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling
    from transformers.models.qwen2_vl import modeling_qwen2_vl as qwen

    def tower(self: Any, hidden_states: torch.Tensor, grid_thw: torch.Tensor, **_: Any) -> Any:
        tokens = len(hidden_states) // self.spatial_merge_size**2
        nothing = hidden_states.new_zeros(tokens, self.config.hidden_size)
        return BaseModelOutputWithPooling(last_hidden_state=hidden_states, pooler_output=nothing)

    def layers(self: Any, inputs_embeds: torch.Tensor, **_: Any) -> Any:
        return BaseModelOutputWithPast(last_hidden_state=inputs_embeds)

    def completions(model: Any, prefixes: Any, images: Any, requests: Sequence[Sequence[Any]], *_: Any) -> Any:
        rows = sum(map(len, requests))
        return torch.randint(20, 150, (rows, 64), generator=torch.Generator().manual_seed(0)).tolist()

    qwen.Qwen2VisionTransformerPretrainedModel.forward = tower
    qwen.Qwen2VLTextModel.forward = layers
    for module, name in (("prefix_sharing", "generate"), ("sharing", "say")):
        try:
            setattr(import_module(f"gemvg_repro.training.{module}"), name, completions)
        except ImportError:
            continue


def cpu_seconds() -> float:
    """Of this process and its living children."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (me, *me.children(recursive=True)))


def measure(prompts: int, mode: str, workers: int) -> dict[str, float]:
    """CPU seconds a step, and the peak memory of this process in GB."""
    from gemvg_repro.grounding.samples import Sample, Target
    from gemvg_repro.miniature.model import Sizes, save_random
    from gemvg_repro.models.loading import load
    from gemvg_repro.study.profiles import load_profile

    without_model()
    train, current = named("train_grpo")
    picture, _ = named("FilePicture")
    settings = replace(
        load_profile("miniature").grpo, steps=STEPS, prompts=prompts, rollouts=ROLLOUTS, micro_batch=MICRO_BATCH,
        save_every=1000, watch_every=1000, max_new_tokens=64,
    )  # fmt: skip
    ends: list[float] = []
    with TemporaryDirectory() as folder:
        photographs(Path(folder), STEPS * prompts * PICTURES)
        save_random(Path(folder) / "model", Sizes(layers=1, vision_layers=1, patch=14), 0)
        file = Path(folder) / "model" / "preprocessor_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "temporal_patch_size": 2}))
        model, processor = load(Path(folder) / "model", "float32", MAX_PIXELS)
        files = iter(range(STEPS * prompts * PICTURES))
        samples = [
            Sample(
                f"{number}", f"{number}", "semantic", "tool", query="Find every cat", chain="A cat is there.",
                pictures=tuple(picture(Path(folder), f"{next(files)}.jpg") for _ in range(PICTURES)),
                targets=(Target(0, (0.1, 0.1, 0.5, 0.5)),),
            )
            for number in range(STEPS * prompts)
        ]  # fmt: skip
        about: dict[str, Any] = {"seed": 0, "folder": Path(folder), "record": lambda _: ends.append(cpu_seconds())}
        form: Any = mode
        if current:
            from gemvg_repro.training.collator import ConversationCollator

            about |= {"collate": ConversationCollator(processor, 20), "loader_workers": workers}
            form = named("form")[0][mode]
        else:
            about |= {"step": 20}
        train(model, processor, samples, samples[:1], form, settings, **about)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"cpu_s": (ends[-1] - ends[0]) / (len(ends) - 1), "peak_gb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.step_overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", type=Path, help="a checkout of an earlier version")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--mode", default="cot")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", action="store_true", help="measure once, in this process")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.one:
        print(json.dumps(measure(args.prompts, args.mode, args.workers)))
        return
    trees = [Path(__file__).parents[1], *([args.against.absolute()] if args.against else [])]
    spent: dict[Path, list[float]] = {tree: [] for tree in trees}
    options = ["--one", "--prompts", str(args.prompts), "--mode", args.mode, "--workers", str(args.workers)]
    for _ in range(args.rounds):
        for tree in trees:
            environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, __file__, *options]
            done = subprocess.run(command, env=environment, cwd=tree, stdout=subprocess.PIPE, text=True, check=True)
            result = json.loads(done.stdout.splitlines()[-1])
            spent[tree].append(result["cpu_s"])
            print(f"{tree}: {result['cpu_s']:.2f} s of CPU a step, peak {result['peak_gb']:.1f} GB", flush=True)
    if args.against:
        before, now = (float(np.median(spent[tree])) for tree in (trees[1], trees[0]))
        print(f"{before:.2f} s before, {now:.2f} s now: {before / now:.1f} times fewer")


if __name__ == "__main__":
    main()
