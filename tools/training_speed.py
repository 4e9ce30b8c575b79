"""How much faster than stock are we? `python -m tools.training_speed [sft] [grpo] [answers] [ties] [--rounds N]`

Side by side in this process, by turns, one thread, the miniature's base and settings. Stock is TRL's own trainer, with
TRL's collator where it has one, on transformers' own model and image processor, with our configuration, optimiser,
samples and rewards; and transformers' generate on one sample at a time. A step counts whole, from the end of the one
before it: data, generation, rewards, gradient, optimiser. Each trainer's first step of a round is not counted. Seconds
are of the CPU, which other processes on the machine move little; the ratio of wall seconds stands beside.
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
from typing import Any

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
from gemvg_repro.grounding.samples import MODES, Mode, Sample
from gemvg_repro.miniature.dataset import generate
from gemvg_repro.miniature.exports import benchmarks
from gemvg_repro.models.generation import Question, answer, prompt_text
from gemvg_repro.models.loading import load
from gemvg_repro.models.processor import ImageOnlyProcessor
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.collator import Conversation
from gemvg_repro.training.grpo import grpo_arguments, prompts_in_order, reinforce, reward_functions, with_pictures
from gemvg_repro.training.sft import conversations, finetune, sft_arguments
from gemvg_repro.training.trainer_setup import build_optimiser
from tests import drawn

PROFILE = load_profile("miniature")
STEPS = 4
"""Of a trainer in each round; the first is not counted."""

Model = Qwen2VLForConditionalGeneration
Moment = tuple[float, float]
"""Seconds of the CPU, and of the wall."""


def now() -> Moment:
    return time.process_time(), time.perf_counter()


def since(start: Moment, end: Moment, parts: int = 1) -> Moment:
    return (end[0] - start[0]) / parts, (end[1] - start[1]) / parts


def stock_model() -> tuple[Model, ImageOnlyProcessor]:
    """The base as transformers loads it, without any of our fast paths."""
    folder = PROFILE.base_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    images = Qwen2VLImageProcessorPil.from_pretrained(folder)
    processor = ImageOnlyProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
    return Model.from_pretrained(folder), processor


@cache
def samples(split: str, count: int) -> tuple[Sample, ...]:
    """As many scenes of the study's world; in training each with several questions."""
    if split == "train":
        return tuple(drawn.conversations(0, count, PROFILE.sft.turns))
    assert PROFILE.data.recipe is not None
    return tuple(generate(split, replace(PROFILE.data.recipe, **{split: count}, understanding_test=0)))


class Clock(TrainerCallback):  # type: ignore[misc]
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.ends: list[Moment] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.ends.append(now())

    @property
    def steps(self) -> list[Moment]:
        """How long every step but the first took."""
        return [since(a, b) for a, b in zip(self.ends, self.ends[1:], strict=False)]


def trained(trainer: SFTTrainer | GRPOTrainer) -> list[Moment]:
    trainer.remove_callback(PrinterCallback)
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    return clock.steps


def recorded(train: Callable[[Callable[[dict[str, Any]], None]], None]) -> list[Moment]:
    """The same for a training of ours, which tells when a step ends."""
    clock = Clock()
    train(lambda entry: clock.ends.append(now()))
    return clock.steps


SFT = replace(PROFILE.sft, steps=STEPS, save_every=1000)


def trl_row(turns: Conversation) -> dict[str, Any]:
    """A conversation as TRL takes it. With several turns its loss is on all that follows the first question, the other
    questions included, which is not what ours learns; with one turn it is on the answer alone, as ours."""
    said: list[dict[str, str]] = []
    for turn in turns:
        said.append({"role": "user", "content": question(turn.sample, turn.mode)})
        said.append({"role": "assistant", "content": completion(turn.sample, turn.mode, PROFILE.coordinate_step)})
    images = [Image.fromarray(p.pixels()) for p in turns[0].sample.pictures]
    return {
        "prompt": said[:1], "completion": said[1:], "images": images, "chat_template_kwargs": CHAT_TEMPLATE_KWARGS,
    }  # fmt: skip


def stock_sft(asked: Sequence[Conversation], by_question: bool, folder: Path) -> list[Moment]:
    """`by_question`: each question a row of its own, which is how TRL puts the loss on answers only."""

    def rows_of(turns: Conversation) -> list[dict[str, Any]]:
        return [trl_row([turn]) for turn in turns] if by_question else [trl_row(turns)]

    model, processor = stock_model()
    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    trainer = SFTTrainer(
        model=model,
        args=sft_arguments(folder, SFT, 0, use_cpu=True),
        data_collator=lambda rows: collate([one for row in rows for one in rows_of(asked[row["index"]])]),
        train_dataset=Dataset.from_dict({"index": range(len(asked))}),
        processing_class=processor,
        optimizers=(build_optimiser(model, SFT.optimiser), None),
    )
    return trained(trainer)


def our_sft(asked: Sequence[Conversation], folder: Path) -> list[Moment]:
    model, processor = load(PROFILE.base_folder(), "float32")
    return recorded(
        lambda record: finetune(
            model, processor, asked, SFT, step=PROFILE.coordinate_step, seed=0, folder=folder, record=record
        )
    )


GRPO = replace(PROFILE.grpo, steps=STEPS, save_every=1000, watch_every=1000)


def stock_grpo(asked: Sequence[Sample], folder: Path) -> list[Moment]:
    model, processor = stock_model()
    form = FORMS["hybrid"]
    torch.manual_seed(0)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward_functions(asked, processor),
        args=grpo_arguments(folder, GRPO, 0, form, use_cpu=True),
        train_dataset=prompts_in_order(asked, form.modes, GRPO.steps * GRPO.prompts, 0),
        processing_class=processor,
        optimizers=(build_optimiser(model, GRPO.optimiser), None),
    )
    trainer.data_collator = with_pictures(asked)
    return trained(trainer)


def our_grpo(asked: Sequence[Sample], folder: Path) -> list[Moment]:
    model, processor = load(PROFILE.base_folder(), "float32")
    watched = samples("validation", 8)
    return recorded(
        lambda record: reinforce(
            model, processor, asked, watched, FORMS["hybrid"], GRPO,
            step=PROFILE.coordinate_step, seed=0, folder=folder, record=record,
        )
    )  # fmt: skip


def one_at_a_time(model: Model, processor: ImageOnlyProcessor, sample: Sample, mode: Mode) -> list[int]:
    """The official way of asking: transformers' generate on one prompt, greedily; the ids of the answer."""
    images = [[Image.fromarray(p.pixels()) for p in sample.pictures]]
    inputs = processor(text=[prompt_text(processor, sample, mode)], images=images, return_tensors="pt")
    how = GenerationConfig(
        do_sample=False,
        max_new_tokens=PROFILE.evaluate.max_new_tokens[mode],
        eos_token_id=processor.tokenizer.eos_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    with torch.inference_mode():
        ids: list[int] = model.generate(**inputs, generation_config=how)[0, inputs["input_ids"].shape[1] :].tolist()
    return ids


ONE, MANY = 40, 400
"""Samples of a round, asked one at a time (evenly spaced) and in batches."""

Asked = Sequence[tuple[Question, ...]]
"""Samples, each in its modes."""


def generalised(modes: Sequence[Mode]) -> Asked:
    return [tuple((sample, mode) for mode in modes) for sample in samples("test", MANY)]


def official(folder: Path) -> dict[str, Asked]:
    """The benchmarks that the study exports in their official formats, each in both modes."""
    benchmarks.write(folder, 0, PROFILE.data.benchmarks)
    asked: dict[str, Asked] = {}
    for name in PROFILE.data.benchmarks:
        chosen = benchmark(name)
        data = chosen.load(chosen.annotations(folder / name), None, PROFILE.data.most_pixels)
        by_mode = [[(s, m) for s in chosen.samples(data, m, templates_at(folder / name))] for m in MODES]
        asked[name] = list(zip(*by_mode, strict=True))
    return asked


def stock_answers(asked: Asked) -> list[Moment]:
    """How long a sample took, in all its modes."""
    model, processor = stock_model()
    one_at_a_time(model, processor, *asked[0][0])
    few = asked[:: max(len(asked) // ONE, 1)][:ONE]
    started = now()
    for questions in few:
        for sample, mode in questions:
            one_at_a_time(model, processor, sample, mode)
    return [since(started, now(), len(few))]


def our_answers(asked: Asked) -> list[Moment]:
    """The same, as an evaluation asks."""
    model, processor = load(PROFILE.base_folder(), "float32")
    settings = PROFILE.evaluate
    questions = [question for each in asked for question in each]
    list(answer(model, processor, questions[:2], batch=2, max_new_tokens=settings.max_new_tokens))
    started = now()
    for _ in answer(model, processor, questions, batch=settings.batch, max_new_tokens=settings.max_new_tokens):
        pass
    return [since(started, now(), len(asked))]


def contest(name: str, rounds: int, stock: Callable[[], list[Moment]], ours: Callable[[], list[Moment]]) -> None:
    """Prints both medians, by turns."""
    spent: tuple[list[Moment], list[Moment]] = ([], [])
    for _ in range(rounds):
        spent[0].extend(stock())
        spent[1].extend(ours())
    (a, wall_a), (b, wall_b) = ([statistics.median(kind) for kind in zip(*one, strict=True)] for one in spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:20} {a:9.4f} s {b:9.4f} s {a / b:7.2f} {wall_a / wall_b:7.2f}"
          f"   {len(spent[0])}, {len(spent[1])} {peak:8.0f} MB", flush=True)  # fmt: skip


TIES = 1000
"""Samples asked alone and in batches of 32."""


def ties(mode: Mode) -> None:
    """Prints how many answers differ between this mode in batches of 1, and both modes together in batches of 32, and
    how near the two best logits then are."""
    model, processor = load(PROFILE.base_folder(), "float32")
    stock, _ = stock_model()
    test = samples("test", TIES)
    alone, many = (
        {
            p.sample: p.text
            for b in answer(model, processor, asked, batch=n, max_new_tokens=PROFILE.evaluate.max_new_tokens)
            for p in b
            if p.mode == mode
        }
        for n, asked in ((1, [(s, mode) for s in test]), (32, [(s, each) for s in test for each in MODES]))
    )
    gaps = [gap(stock, processor, s, mode, alone[s.id], many[s.id]) for s in test if alone[s.id] != many[s.id]]
    print(f"alone against both modes in batches of 32, {mode}: {len(test) - len(gaps)} of {len(test)} answers identical"
          f"{''.join(f'; two best logits {g:.1e} apart' for g in gaps)}", flush=True)  # fmt: skip


def gap(stock: Model, processor: ImageOnlyProcessor, sample: Sample, mode: Mode, one: str, other: str) -> float:
    """How far the two best logits are apart where two answers to a sample part, by transformers' own forward."""
    prompt = prompt_text(processor, sample, mode)
    said = [processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (one, other)]
    same = next(n for n, (a, b) in enumerate(zip(*said, strict=False)) if a != b)
    images = [[Image.fromarray(p.pixels()) for p in sample.pictures]]
    inputs = processor(text=[prompt + processor.tokenizer.decode(said[0][:same])], images=images, return_tensors="pt")
    with torch.inference_mode():
        best = stock(**inputs).logits[0, -1].topk(2).values
    return float(best[0] - best[1])


def in_folder(train: Callable[[Path], list[Moment]]) -> list[Moment]:
    with TemporaryDirectory() as folder:
        return train(Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["sft", "grpo", "answers", "ties"], help="all, if not given")
    parser.add_argument("--rounds", type=int, default=3, help="how often each takes its turn")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':20} {'stock':>11} {'ours':>11} {'times':>7} {'by wall':>7}   measured, peak so far")
    if "sft" in asked.what:
        talks = conversations(samples("train", 200), SFT, 0)
        for name, by_question in (("SFT, same loss", True), ("SFT, fewest tokens", False)):
            contest(name, asked.rounds, lambda: in_folder(lambda f: stock_sft(talks, by_question, f)),  # noqa: B023
                    lambda: in_folder(lambda f: our_sft(talks, f)))  # fmt: skip
    if "grpo" in asked.what:
        firsts = [s for s in samples("train", 200) if s.id.endswith("-0")]
        contest("GRPO step, hybrid", asked.rounds, lambda: in_folder(lambda f: stock_grpo(firsts, f)),
                lambda: in_folder(lambda f: our_grpo(firsts, f)))  # fmt: skip
    if "answers" in asked.what:
        with TemporaryDirectory() as folder:
            contests = {
                "direct": generalised(["direct"]),
                "CoT": generalised(["cot"]),
                "both modes": generalised(MODES),
            }
            for what, questions in {**contests, **official(Path(folder))}.items():
                contest(f"answers, {what}", asked.rounds, lambda: stock_answers(questions),  # noqa: B023
                        lambda: our_answers(questions))  # noqa: B023  # fmt: skip
    if "ties" in asked.what:
        for mode in MODES:
            ties(mode)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
