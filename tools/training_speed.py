"""How much faster than TRL and transformers is this package?

    python -m tools.training_speed [sft] [grpo] [answers] [ties] [--rounds N] [--start WEIGHTS]

Both in this process, in alternation, with one thread and the miniature's base (or `--start`) and settings. "Stock" is
TRL's own trainer, with TRL's collator where it has one, on transformers' own model and image processor, with our
configuration, optimiser, samples and rewards; and transformers' generate on one sample at a time. A step is timed from
the end of the one before it: data, generation, rewards, gradient, optimiser. Each trainer's first step of a round is a
warm-up. Seconds are CPU time, which other processes on the machine hardly move; the ratio of wall-clock seconds stands
beside.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from datasets import Dataset
from PIL import Image
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    PrinterCallback,
    Qwen2VLForConditionalGeneration,
    TrainerCallback,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from trl import GRPOTrainer, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from gemvg_repro.benchmarks.prompts import templates_at
from gemvg_repro.benchmarks.registry import benchmark
from gemvg_repro.grounding.answers import completion
from gemvg_repro.grounding.prompts import CHAT_TEMPLATE_KWARGS, question
from gemvg_repro.grounding.rewards import TERMS
from gemvg_repro.grounding.samples import MODES, Mode, Sample
from gemvg_repro.miniature import dataset
from gemvg_repro.miniature.exports import benchmarks
from gemvg_repro.models.generation import Prompt, generate, prompt_text
from gemvg_repro.models.loading import load
from gemvg_repro.models.processor import ImageOnlyProcessor
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.collator import Conversation, ConversationCollator
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.grpo import (
    GroundingGRPOTrainer,
    grpo_arguments,
    prompt_dataset,
    reward_functions,
    train_grpo,
)
from gemvg_repro.training.optimisers import build_optimiser
from gemvg_repro.training.sft import sft_arguments, train_sft
from tests import drawn

PROFILE = load_profile("miniature")
START, FORM = PROFILE.base_folder(), "hybrid"
STEPS = 4
"""Steps of a trainer in each round; the first is a warm-up."""

Moment = tuple[float, float]
"""Seconds of CPU time and of wall-clock time."""


def now() -> Moment:
    return time.process_time(), time.perf_counter()


def since(start: Moment, end: Moment, parts: int = 1) -> Moment:
    return (end[0] - start[0]) / parts, (end[1] - start[1]) / parts


def stock_model() -> tuple[Qwen2VLForConditionalGeneration, ImageOnlyProcessor]:
    """The base as transformers loads it, without any of our fast paths."""
    folder = START
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    images = Qwen2VLImageProcessorPil.from_pretrained(folder)
    processor = ImageOnlyProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
    return Qwen2VLForConditionalGeneration.from_pretrained(folder), processor


@cache
def samples(split: Literal["train", "validation", "test"], count: int) -> tuple[Sample, ...]:
    """Samples of so many scenes of the study's world; in training each with several questions."""
    if split == "train":
        return tuple(drawn.conversations(0, count, PROFILE.sft.turns))
    assert PROFILE.data.recipe is not None
    return tuple(dataset.generate(split, replace(PROFILE.data.recipe, **{split: count}, understanding_test=0)))


class Clock(TrainerCallback):  # type: ignore[misc]
    """Records when each step ends."""

    def __init__(self) -> None:
        self.ends: list[Moment] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.ends.append(now())

    @property
    def steps(self) -> list[Moment]:
        """The duration of every step but the first."""
        return [since(a, b) for a, b in zip(self.ends, self.ends[1:], strict=False)]


def trained(trainer: SFTTrainer | GRPOTrainer) -> list[Moment]:
    trainer.remove_callback(PrinterCallback)
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    return clock.steps


ZERO_VARIANCE: list[float] = []
"""The share of groups without variance, by step of our GRPO."""


def recorded(train: Callable[[Callable[[dict[str, Any]], None]], None]) -> list[Moment]:
    """The same for our trainings, by their `record` callback."""
    clock = Clock()

    def record(entry: dict[str, Any]) -> None:
        clock.ends.append(now())
        ZERO_VARIANCE.extend([entry["zero_variance_share"]] if "zero_variance_share" in entry else [])

    train(record)
    return clock.steps


SFT = replace(PROFILE.sft, steps=STEPS, save_every=1000)


def trl_row(turns: Conversation) -> dict[str, Any]:
    """A conversation in TRL's format. With several turns TRL's loss is on all that follows the first question, later
    questions included, unlike ours; with one turn it is on the answer alone, as ours."""
    chat: list[dict[str, str]] = []
    for turn in turns:
        chat.append({"role": "user", "content": question(turn.sample, turn.mode)})
        chat.append({"role": "assistant", "content": completion(turn.sample, turn.mode, PROFILE.coordinate_step)})
    images = [Image.fromarray(p.pixels()) for p in turns[0].sample.pictures]
    return {
        "prompt": chat[:1], "completion": chat[1:], "images": images, "chat_template_kwargs": CHAT_TEMPLATE_KWARGS,
    }  # fmt: skip


def stock_sft(conversations: Sequence[Conversation], by_question: bool, folder: Path) -> list[Moment]:
    """`by_question`: each question is a row of its own, which is how TRL puts the loss on answers only."""

    def rows_of(turns: Conversation) -> list[dict[str, Any]]:
        return [trl_row([turn]) for turn in turns] if by_question else [trl_row(turns)]

    model, processor = stock_model()
    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    trainer = SFTTrainer(
        model=model,
        args=sft_arguments(folder, SFT, 0, use_cpu=True),
        data_collator=lambda rows: collate([one for row in rows for one in rows_of(conversations[row["index"]])]),
        train_dataset=Dataset.from_dict({"index": range(len(conversations))}),
        processing_class=processor,
        optimizers=(build_optimiser(model, SFT.optimiser), None),
    )
    return trained(trainer)


def our_sft(conversations: Sequence[Conversation], folder: Path) -> list[Moment]:
    model, processor = load(Path(START), "float32")
    return recorded(
        lambda record: train_sft(
            model,
            processor,
            conversations,
            SFT,
            collate=ConversationCollator(processor, PROFILE.coordinate_step),
            seed=0,
            folder=folder,
            record=record,
        )
    )


GRPO = replace(PROFILE.grpo, steps=STEPS, save_every=1000, watch_every=1000)
F1: dict[str, Any] = {
    "scale_rewards": "none", "loss_type": "dapo", "weights": {**dict.fromkeys(TERMS, 0.0), "f1": 1.0, "format": 0.2},
}  # fmt: skip


def with_images(prompts: Sequence[Sample]) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """A collator that gives TRL the images of each row's sample."""

    def collate(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        images = {i: [Image.fromarray(p.pixels()) for p in prompts[i].pictures] for i in {r["index"] for r in rows}}
        return [{**row, "images": images[row["index"]]} for row in rows]

    return collate


def stock_grpo(prompts: Sequence[Sample], folder: Path) -> list[Moment]:
    model, processor = stock_model()
    form = FORMS[FORM]
    torch.manual_seed(0)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward_functions(prompts, processor),
        args=grpo_arguments(folder, GRPO, 0, form, use_cpu=True),
        train_dataset=prompt_dataset(prompts, form.modes, GRPO.steps * GRPO.prompts, 0),
        processing_class=processor,
        optimizers=(build_optimiser(model, GRPO.optimiser), None),
    )
    trainer.data_collator = with_images(prompts)
    return trained(trainer)


def our_grpo(prompts: Sequence[Sample], folder: Path, skips: bool = True) -> list[Moment]:
    """`skips`: whether groups without variance are left out of the forward pass, as they are in the study."""
    GroundingGRPOTrainer.skips = skips
    model, processor = load(Path(START), "float32")
    validation = samples("validation", 8)
    return recorded(
        lambda record: train_grpo(
            model, processor, prompts, validation, FORMS[FORM], GRPO,
            collate=ConversationCollator(processor, PROFILE.coordinate_step), seed=0, folder=folder, record=record,
        )
    )  # fmt: skip


def one_at_a_time(
    model: Qwen2VLForConditionalGeneration, processor: ImageOnlyProcessor, sample: Sample, mode: Mode
) -> list[int]:
    """Greedy decoding of one prompt by transformers' generate; the ids of the completion."""
    images = [[Image.fromarray(p.pixels()) for p in sample.pictures]]
    inputs = processor(text=[prompt_text(processor, sample, mode)], images=images, return_tensors="pt")
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=PROFILE.evaluate.max_new_tokens[mode],
        eos_token_id=processor.tokenizer.eos_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    with torch.inference_mode():
        ids: list[int] = model.generate(**inputs, generation_config=config)[0, inputs["input_ids"].shape[1] :].tolist()
    return ids


ONE, MANY = 40, 400
"""Samples of a round, evaluated one at a time (evenly spaced) and in batches."""

Prompts = Sequence[tuple[Prompt, ...]]
"""The prompts of each sample, one a mode."""


def generalised(modes: Sequence[Mode]) -> Prompts:
    return [tuple((sample, mode) for mode in modes) for sample in samples("test", MANY)]


def official(folder: Path) -> dict[str, Prompts]:
    """The benchmarks that the study exports in their official formats, each with both modes."""
    benchmarks.write(folder, 0, PROFILE.data.benchmarks)
    prompts: dict[str, Prompts] = {}
    for name in PROFILE.data.benchmarks:
        chosen = benchmark(name)
        data = chosen.load(chosen.annotations(folder / name), None, PROFILE.data.most_pixels)
        by_mode = [[(s, m) for s in chosen.samples(data, m, templates_at(folder / name))] for m in MODES]
        prompts[name] = list(zip(*by_mode, strict=True))
    return prompts


def stock_answers(prompts: Prompts) -> list[Moment]:
    """Seconds a sample, in all its modes."""
    model, processor = stock_model()
    one_at_a_time(model, processor, *prompts[0][0])
    subset = prompts[:: max(len(prompts) // ONE, 1)][:ONE]
    started = now()
    for of_sample in subset:
        for sample, mode in of_sample:
            one_at_a_time(model, processor, sample, mode)
    return [since(started, now(), len(subset))]


def our_answers(prompts: Prompts) -> list[Moment]:
    """The same, as an evaluation does it."""
    model, processor = load(Path(START), "float32")
    settings = PROFILE.evaluate
    flat = [prompt for of_sample in prompts for prompt in of_sample]
    list(generate(model, processor, flat[:2], batch=2, max_new_tokens=settings.max_new_tokens))
    started = now()
    for _ in generate(model, processor, flat, batch=settings.batch, max_new_tokens=settings.max_new_tokens):
        pass
    return [since(started, now(), len(prompts))]


def contest(name: str, rounds: int, stock: Callable[[], list[Moment]], ours: Callable[[], list[Moment]]) -> None:
    """Prints the medians of both, run in alternation."""
    spent: tuple[list[Moment], list[Moment]] = ([], [])
    for _ in range(rounds):
        spent[0].extend(stock())
        spent[1].extend(ours())
    (a, wall_a), (b, wall_b) = ([statistics.median(kind) for kind in zip(*one, strict=True)] for one in spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:20} {a:9.4f} s {b:9.4f} s {a / b:7.2f} {wall_a / wall_b:7.2f}"
          f"   {len(spent[0])}, {len(spent[1])} {peak:8.0f} MB", flush=True)  # fmt: skip


TIES = 1000
"""Samples evaluated alone and in batches of 32."""


def ties(mode: Mode) -> None:
    """Prints how many answers differ between this mode in batches of 1, and both modes together in batches of 32, and
    how near the two best logits then are."""
    model, processor = load(Path(START), "float32")
    stock, _ = stock_model()
    test = samples("test", TIES)
    alone, many = (
        {
            p.sample: p.text
            for b in generate(model, processor, prompts, batch=n, max_new_tokens=PROFILE.evaluate.max_new_tokens)
            for p in b
            if p.mode == mode
        }
        for n, prompts in ((1, [(s, mode) for s in test]), (32, [(s, each) for s in test for each in MODES]))
    )
    gaps = [gap(stock, processor, s, mode, alone[s.id], many[s.id]) for s in test if alone[s.id] != many[s.id]]
    print(f"alone against both modes in batches of 32, {mode}: {len(test) - len(gaps)} of {len(test)} answers identical"
          f"{''.join(f'; two best logits {g:.1e} apart' for g in gaps)}", flush=True)  # fmt: skip


def gap(
    stock: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    sample: Sample,
    mode: Mode,
    one: str,
    other: str,
) -> float:
    """How far the two best logits are apart where two answers to a sample part, by transformers' own forward."""
    prompt = prompt_text(processor, sample, mode)
    ids = [processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (one, other)]
    same = next(n for n, (a, b) in enumerate(zip(*ids, strict=False)) if a != b)
    images = [[Image.fromarray(p.pixels()) for p in sample.pictures]]
    inputs = processor(text=[prompt + processor.tokenizer.decode(ids[0][:same])], images=images, return_tensors="pt")
    with torch.inference_mode():
        best = stock(**inputs).logits[0, -1].topk(2).values
    return float(best[0] - best[1])


def in_folder(train: Callable[[Path], list[Moment]]) -> list[Moment]:
    with TemporaryDirectory() as folder:
        return train(Path(folder))


def main() -> None:
    global START, FORM, GRPO
    parser = argparse.ArgumentParser(
        prog="python -m tools.training_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", default=["sft", "grpo", "answers", "ties"], help="all, if not given")
    parser.add_argument("--start", default=START, help="weights of a training to start from (default: the base)")
    parser.add_argument("--form", default=FORM, choices=sorted(FORMS), help="of GRPO (default: %(default)s)")
    parser.add_argument("--f1", action="store_true", help="GRPO with F1@0.5 as its reward, advantages not scaled")
    parser.add_argument("--rounds", type=int, default=3, help="how often each takes its turn")
    args = parser.parse_args()
    torch.set_num_threads(1)
    START, FORM = args.start, args.form
    if args.f1:
        GRPO = replace(GRPO, **F1)
    print(f"{'':20} {'stock':>11} {'ours':>11} {'times':>7} {'by wall':>7}   measured, peak so far")
    if "sft" in args.what:
        conversations = training_conversations(samples("train", 200), SFT, 0)
        for name, by_question in (("SFT, same loss", True), ("SFT, fewest tokens", False)):
            contest(name, args.rounds, lambda: in_folder(lambda f: stock_sft(conversations, by_question, f)),  # noqa: B023
                    lambda: in_folder(lambda f: our_sft(conversations, f)))  # fmt: skip
    if "grpo" in args.what:
        firsts = [s for s in samples("train", 200) if s.id.endswith("-0")]
        contest(f"GRPO step, {FORM}", args.rounds, lambda: in_folder(lambda f: stock_grpo(firsts, f)),
                lambda: in_folder(lambda f: our_grpo(firsts, f)))  # fmt: skip
        contest("the same, all groups", args.rounds, lambda: in_folder(lambda f: our_grpo(firsts, f, skips=False)),
                lambda: in_folder(lambda f: our_grpo(firsts, f)))  # fmt: skip
        print(f"share of groups without variance: {statistics.mean(ZERO_VARIANCE):.3f}")
    if "answers" in args.what:
        with TemporaryDirectory() as folder:
            contests = {
                "direct": generalised(["direct"]),
                "CoT": generalised(["cot"]),
                "both modes": generalised(MODES),
            }
            for what, prompts in {**contests, **official(Path(folder))}.items():
                contest(f"answers, {what}", args.rounds, lambda: stock_answers(prompts),  # noqa: B023
                        lambda: our_answers(prompts))  # noqa: B023  # fmt: skip
    if "ties" in args.what:
        for mode in MODES:
            ties(mode)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
