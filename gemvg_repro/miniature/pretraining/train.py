"""Pre-trains the miniature's base from random weights.

    python -m gemvg_repro.miniature.pretraining.train FOLDER

reproduces the base that the package ships, in four phases: dense targets of every image token only; then answers about
one object in one image; then about the whole world, one to three images of up to four objects; then, with two more
layers before the others, references, which those layers resolve. No question associates one image with another. The
result is compared with the shipped base; curve.csv beside it has the losses, and F1 on held-out images. The base is to
the miniature study what Qwen2-VL is to the paper. The same command resumes from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, groupby, islice
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import Qwen2VLForConditionalGeneration

from ...benchmarks.generalised import score
from ...grounding.samples import Mode, Sample
from ...models.checkpoints import WEIGHTS, write_sums
from ...models.generation import Prompt, generate
from ...models.loading import load, save
from ...models.processor import ImageOnlyProcessor
from ...training.checkpoint_hashing import weights_hash
from ...training.collator import IGNORED, Conversation, ConversationCollator, Turn
from ...training.conversations import WINDOW, batched_by_length
from ...training.optimisers import build_optimiser
from ...training.settings import OptimiserSettings
from .. import dataset
from ..dataset import Recipe
from ..model import BASE, Sizes, deepen, save_random
from ..questions import referential
from ..tokenizer import COORDINATE_STEP, coordinate_ids
from ..world import Frame
from .curriculum import PHASES, training_samples
from .dense_targets import DenseHeads, Labels
from .pointing import pointers
from .references import reference_loss, references

METRICS = "metrics.json"
CURVE = "curve.csv"

SEED = 0
THREADS = 2
TURNS = 6
COT_SHARE = 0.15
SAVE_EVERY = 200
"""Steps between checkpoints, and between evaluations on held-out images."""
CURVE_EVERY = 20
"""Steps that a row of the curve averages over."""
REFERENCE_LAYERS = 2
"""Layers added before the others for the last phase."""


@dataclass(frozen=True)
class Phase:
    """Steps, conversations a step, and the weights of the losses: `places` of the dense targets; `words` of the
    answers' tokens and, beside dense targets, of where they point; `references` of the references' objects."""

    steps: int
    conversations: int
    words: float
    places: float
    optimiser: OptimiserSettings
    references: float = 0.0


_OPTIMISER = OptimiserSettings(
    lr=0.005,
    muon_lr=0.02,
    momentum=0.95,
    betas=(0.9, 0.98),
    weight_decay=0.05,
    max_grad_norm=1.0,
    warmup_steps=20,
    schedule="cosine_with_min_lr",
    final_lr_share=0.02,
)
RECIPE = {
    "places": Phase(300, 32, words=0.0, places=1.0, optimiser=replace(_OPTIMISER, final_lr_share=0.2)),
    "one": Phase(60, 48, words=1.0, places=0.5, optimiser=replace(_OPTIMISER, final_lr_share=1.0)),
    "crowds": Phase(2200, 32, words=1.0, places=0.5, optimiser=_OPTIMISER),
    "references": Phase(
        1000, 32, words=1.0, places=0.0, references=1.0, optimiser=replace(_OPTIMISER, lr=0.002, muon_lr=0.006)
    ),
}
"""By phase of the curriculum."""


def pretrain(folder: Path) -> str:
    """Pre-trains the base in `folder`, resuming if it was interrupted; returns the hash of its weights."""
    torch.set_num_threads(THREADS)
    start = folder / "start"
    if not start.is_dir():
        save_random(start, Sizes(), SEED)
    model, processor = load(start, "float32")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        _scale_by_fan_in(model.model.visual)
        heads = DenseHeads(model.config.text_config.hidden_size)
    for name in PHASES:
        if RECIPE[name].references:
            model = deepen(model, REFERENCE_LAYERS, SEED)
        _train_phase(name, RECIPE[name], model, processor, heads, folder)
    if not (folder / "model").is_dir():
        save(model, processor, folder / "model")
        write_sums(folder / "model")
        curve(folder / "log.jsonl").to_csv(folder / "model" / CURVE, index=False, lineterminator="\n")
        (folder / "model" / METRICS).write_text(json.dumps(evaluate(model, processor), indent=2) + "\n")
    return weights_hash(model)


def _scale_by_fan_in(module: nn.Module) -> None:
    """Initialises the weights again: Qwen2's standard deviation of 0.02 suits wide layers; so narrow a tower learns
    categories more slowly with it (docs/log)."""
    for weight in module.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=1 / math.sqrt(weight[0].numel()))


def _train_phase(
    name: str,
    phase: Phase,
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    heads: DenseHeads,
    folder: Path,
) -> None:
    """Trains one phase, from its last checkpoint if there is one."""
    trained = nn.ModuleDict({"model": model, "heads": heads})
    optimiser = build_optimiser(trained, phase.optimiser)
    rates = [group["lr"] for group in optimiser.param_groups]
    checkpoint = folder / f"{name}.pt"
    done = _resume(checkpoint, trained, optimiser)
    collate = ConversationCollator(processor, COORDINATE_STEP)
    targets = _soft_targets(processor.tokenizer)
    model.train()
    started = time.monotonic()
    with (folder / "log.jsonl").open("a", encoding="utf-8", buffering=1) as log:
        for step, batch in zip(range(done, phase.steps), _batches(name, phase, done), strict=False):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * _lr_share(step, phase)
            losses = _step(model, heads, collate(batch), batch, targets, phase)
            nn.utils.clip_grad_norm_(trained.parameters(), phase.optimiser.max_grad_norm)
            optimiser.step()
            optimiser.zero_grad()
            left = (time.monotonic() - started) / (step + 1 - done) * (phase.steps - step - 1)
            saves = (step + 1) % SAVE_EVERY == 0 or step + 1 == phase.steps
            scores = evaluate(model, processor) if saves else {}
            losses |= {name: value for name, value in scores.items() if name.endswith("/f1")}
            entry = {"phase": name, "step": step + 1, "seconds_left": round(left), **losses}
            print(json.dumps(entry), file=log)
            if saves:
                _save(checkpoint, trained, optimiser, step + 1)
                print(f"{name}: {step + 1}/{phase.steps}  {losses}  {left / 60:.1f} min left", flush=True)  # noqa: T201


def _step(
    model: Qwen2VLForConditionalGeneration,
    heads: DenseHeads,
    inputs: dict[str, Tensor],
    batch: list[Conversation],
    targets: Tensor,
    phase: Phase,
) -> dict[str, float]:
    """Forward and backward pass; returns the parts of the loss.

    Without the mask attention is faster, and with padding on the right no token with a loss attends to it.
    """
    labels, _ = inputs.pop("labels"), inputs.pop("attention_mask")
    states = model.model(**inputs, use_cache=False, output_hidden_states=True)
    image_mask = inputs["mm_token_type_ids"] == 1
    cell = model.config.vision_config.patch_size * model.config.vision_config.spatial_merge_size
    parts: dict[str, Tensor] = {}
    loss = torch.zeros(())
    if phase.places:
        frames = [[p for p in turns[0].sample.pictures if isinstance(p, Frame)] for turns in batch]
        parts |= heads.loss(states.hidden_states, image_mask, Labels.of(frames, cell))
        loss = loss + phase.places * (parts["near"] + parts["far"])
    if phase.words:
        words = parts["words"] = _word_loss(model, states.last_hidden_state, labels, targets)
        if phase.places:
            targets_of_words = pointers(batch, inputs["input_ids"], labels, cell)
            parts["pointing"], parts["right"] = heads.pointing(states.hidden_states, image_mask, targets_of_words)
            words = words + parts["pointing"]
        loss = loss + phase.words * words
    if phase.references:
        early = states.hidden_states[REFERENCE_LAYERS]
        of_batch = references(batch, inputs["input_ids"], labels)
        parts["references"], parts["known"] = reference_loss(model, early, of_batch)
        loss = loss + phase.references * parts["references"]
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: round(float(value.detach()), 4) for name, value in parts.items()}


def _word_loss(model: Qwen2VLForConditionalGeneration, states: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy with soft `targets`: (vocabulary, vocabulary), a distribution for each true token."""
    labelled = labels[:, 1:] != IGNORED
    logits = model.lm_head(states[:, :-1][labelled])
    return F.cross_entropy(logits, targets[labels[:, 1:][labelled]])


def _soft_targets(tokenizer: Any) -> Tensor:
    """(vocabulary, vocabulary): one-hot, but for coordinates, whose neighbours share by a Gaussian of one step.

    A coordinate that is one step off is nearly right: soft ordinal labels (Diaz and Marathe, CVPR 2019).
    """
    targets = torch.eye(len(tokenizer))
    for ids in coordinate_ids(tokenizer):
        steps = torch.arange(len(ids), dtype=torch.float)
        near = torch.exp(-((steps[:, None] - steps[None, :]) ** 2) / 2)
        targets[torch.tensor(ids)[:, None], torch.tensor(ids)[None, :]] = near / near.sum(dim=1, keepdim=True)
    return targets


def _lr_share(step: int, phase: Phase) -> float:
    """The share of the learning rate: a short linear warm-up, then a cosine."""
    end = phase.optimiser.final_lr_share
    warm = min(1.0, (step + 1) / phase.optimiser.warmup_steps)
    return warm * (end + (1 - end) * (1 + math.cos(math.pi * step / phase.steps)) / 2)


def _batches(name: str, phase: Phase, done: int) -> Iterator[list[Conversation]]:
    """The batches of a phase from step `done` on; each window of them is drawn, and sorted by length, on its own."""
    size = phase.conversations
    turns = TURNS if phase.words else 1

    def all_windows() -> Iterator[list[Conversation]]:
        for window in count(done // WINDOW):
            rng = Random(f"{SEED}/{name}/{window}")
            numbers = range(window * WINDOW * size, (window + 1) * WINDOW * size)
            by_scene = groupby(training_samples(name, numbers, turns, SEED), key=lambda sample: sample.scene)
            conversations: list[Conversation] = [[Turn(s, _mode(rng, s.chain)) for s in scene] for _, scene in by_scene]
            ordered = batched_by_length(conversations, size, rng)
            yield from (ordered[start : start + size] for start in range(0, len(ordered), size))

    return islice(all_windows(), done % WINDOW, None)


def _mode(rng: Random, chain: str | None) -> Mode:
    return "cot" if chain and rng.random() < COT_SHARE else "direct"


def _save(checkpoint: Path, trained: nn.Module, optimiser: Optimizer, done: int) -> None:
    partial = checkpoint.with_suffix(".part")
    torch.save({"weights": trained.state_dict(), "optimiser": optimiser.state_dict(), "done": done}, partial)
    partial.replace(checkpoint)


def _resume(checkpoint: Path, trained: nn.Module, optimiser: Optimizer) -> int:
    """Loads the checkpoint, if there is one; returns the number of its steps."""
    if not checkpoint.is_file():
        return 0
    saved = torch.load(checkpoint, weights_only=True)
    trained.load_state_dict(saved["weights"])
    optimiser.load_state_dict(saved["optimiser"])
    return int(saved["done"])


def _single(number: int) -> Sample:
    """One of the single images that the shipped base was evaluated on."""
    rng = Random(f"2/{SEED + 1}/train/{number}")
    rng.random()
    return referential(rng, 1).sample(f"train-{number:06d}-0", f"train-{number:06d}")


def evaluate(model: Qwen2VLForConditionalGeneration, processor: ImageOnlyProcessor) -> dict[str, float]:
    """F1@0.5 on 500 held-out single images, and by kind on 500 validation samples of another world."""
    held_out = {
        "single": [_single(number) for number in range(500)],
        "several": list(dataset.generate("validation", Recipe(SEED + 1, validation=500, test=0, understanding_test=0))),
    }
    scores: dict[str, float] = {}
    for name, samples in held_out.items():
        prompts: list[Prompt] = [(sample, "direct") for sample in samples]
        batches = generate(model, processor, prompts, batch=100, max_new_tokens={"direct": 60})
        responses = {prediction.sample: prediction.text for batch in batches for prediction in batch}
        summary = score.summary(score.score(samples, [responses[s.id] for s in samples], "direct"))
        scores |= {f"{name}/{key}": round(value, 4) for key, value in summary.items()}
    return scores


def curve(log: Path) -> pd.DataFrame:
    """A row for every CURVE_EVERY steps of a phase: the mean of each part of the loss, and F1@0.5 on held-out images
    where it was evaluated."""
    steps = pd.read_json(log, lines=True).drop_duplicates(["phase", "step"], keep="last")  # resuming repeats some
    steps["until"] = (steps["step"] + CURVE_EVERY - 1) // CURVE_EVERY * CURVE_EVERY
    means = steps.groupby(["phase", "until"], sort=False).mean().drop(columns=["step", "seconds_left"])
    return means.round(4).reset_index().rename(columns={"until": "step"})


def comparison(made: Path, shipped: Path = BASE) -> str:
    """A base compared with the shipped one, as text: the largest difference of weights, and the metrics of both."""
    ours, theirs = (load_file(folder / WEIGHTS) for folder in (made, shipped))
    apart = max(float((ours[name] - value).abs().max()) for name, value in theirs.items())
    metrics = [json.loads((folder / METRICS).read_text("utf-8")) for folder in (made, shipped)]
    distance = "equal to the shipped ones, to the bit" if apart == 0 else f"at most {apart:.2g} from the shipped ones"
    return "\n".join(
        [
            f"weights: {distance}",
            f"{'':26}{'made':>8}{'shipped':>9}",
            *(f"{name:26}{metrics[0][name]:8.4f}{value:9.4f}" for name, value in metrics[1].items()),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m gemvg_repro.miniature.pretraining.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="takes checkpoints, log and the finished model")
    folder = parser.parse_args().folder
    print(pretrain(folder), comparison(folder / "model"), sep="\n")  # noqa: T201
