"""With a shared prefix, log-probabilities, entropies and gradients are those of TRL's rows with the whole prompt."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from trl import GRPOTrainer

from gemvg_repro.models.families import FAMILIES, Family
from gemvg_repro.models.images import image_inputs
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.collator import IGNORED, ConversationCollator
from gemvg_repro.training.generation_batches import GenerationBatch
from gemvg_repro.training.grpo import GroundingGRPOTrainer, grpo_arguments, reward_functions, train_grpo
from gemvg_repro.training.packed_rows import PackedRows
from gemvg_repro.training.prefix_sharing import PrefixSharingError, SharedPrefixGRPOTrainer
from gemvg_repro.training.token_logprobs import score_labelled_tokens_only

from ..tiny_families import model_and_processor as model_and_processor_of
from ..tiny_families import stock
from ..tiny_model import model_and_processor, samples
from .made import GRPO

SHAPES = [[(64, 64), (32, 80)], [(16, 48)], [(64, 64), (32, 80)], [(48, 48), (48, 48), (80, 16)]]
"""Heights and widths of the pictures of four prompts; the first and the third have the same ones."""
ROLLOUTS = 3


def pictures(shapes: list[tuple[int, int]]) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in shapes]


def trainer_of(kind: type[GRPOTrainer], model: Any, out: Path) -> GRPOTrainer:
    _, processor = model_and_processor()
    return kind(
        model=model,
        reward_funcs=reward_functions([], processor),
        args=grpo_arguments(out, GRPO, 0, FORMS["direct"], use_cpu=True),
        train_dataset=Dataset.from_dict({"prompt": [[{"role": "user", "content": "x"}]] * 8}),
        processing_class=processor,
    )


def batch() -> dict[str, Any]:
    """As TRL lays it out: prompts padded on the left, answers of one to five tokens on the right."""
    _, processor = model_and_processor()
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    questions = ["Find the red disc", "Find the disc of the same colour as in Picture 2", "Find every cross", "Find it"]
    texts = [image * len(s) + q + "\n" for s, q in zip(SHAPES, questions, strict=True) for _ in range(ROLLOUTS)]
    images = [pictures(s) for s in SHAPES for _ in range(ROLLOUTS)]
    inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
    generator = torch.Generator().manual_seed(0)
    answers = torch.randint(20, 200, (len(texts), 5), generator=generator)
    ends = torch.arange(5) < torch.randint(1, 6, (len(texts), 1), generator=generator)
    return {
        "input_ids": torch.cat([inputs["input_ids"], answers.masked_fill(~ends, processor.tokenizer.pad_token_id)], 1),
        "attention_mask": torch.cat([inputs["attention_mask"], ends.long()], 1),
        "logits_to_keep": 5,
        "pixel_values": inputs["pixel_values"],
        "image_grid_thw": inputs["image_grid_thw"],
        "num_images": [len(i) for i in images],
        "mm_token_type_ids": torch.cat([inputs["mm_token_type_ids"], torch.zeros(ends.shape, dtype=torch.long)], 1),
    }


def prompts_of(rollouts: dict[str, Any]) -> tuple[GenerationBatch, list[int]]:
    """The prompts of `batch`, each once, and the number of each row's."""
    _, processor = model_and_processor()
    prompt_of = [prompt for prompt in range(len(SHAPES)) for _ in range(ROLLOUTS)]
    images = image_inputs(processor.image_processor, [image for shapes in SHAPES for image in pictures(shapes)])
    numbers = iter(range(len(images["image_grid_thw"])))
    prompts: GenerationBatch = {
        "rows": [],
        "prompt_of": prompt_of,
        "prompt_ids": [
            row[mask.bool()].tolist()
            for row, mask in zip(
                rollouts["input_ids"][::ROLLOUTS, :-5], rollouts["attention_mask"][::ROLLOUTS, :-5], strict=True
            )
        ],
        "images": images,
        "images_of": [[next(numbers) for _ in shapes] for shapes in SHAPES],
    }
    return prompts, prompt_of


@pytest.mark.parametrize("shares", [True, False])
def test_log_probabilities_are_compared_to_those_with_the_whole_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: bool
) -> None:
    """A position that is off by one is noticed; without sharing there is nothing to be wrong."""
    model, _ = model_and_processor()
    for weights in model.model.language_model.layers.parameters():
        weights.data *= 10  # as initialised, a position hardly matters
    trainer = trainer_of(SharedPrefixGRPOTrainer, model, tmp_path)
    score_labelled_tokens_only(model, ("log_probs", "entropy"), GRPO.temperature)
    trainer._prompts, trainer._prompt_of = prompts_of(batch())
    trainer.shares = shares
    pack = PackedRows.pack

    def shifted(*args: Any) -> PackedRows:
        rows = pack(*args)
        return replace(rows, position_ids=rows.position_ids + (rows.targets != IGNORED))

    monkeypatch.setattr(PackedRows, "pack", shifted)
    with nullcontext() if not shares else pytest.raises(PrefixSharingError, match="`prefix_sharing: false` in the pro"):
        trainer._get_per_token_logps_and_entropies(model, **batch())


@pytest.mark.parametrize("size", [None, 5], ids=["at_once", "in_parts_that_cut_groups"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_log_probabilities_entropies_and_gradients_are_those_of_trl(
    tmp_path: Path, family: Family, size: int | None
) -> None:
    ours, _ = model_and_processor_of(family)
    mask = batch()["attention_mask"][:, -5:].bool()
    results = []
    for kind, model in ((GRPOTrainer, stock(family)), (SharedPrefixGRPOTrainer, ours)):
        trainer = trainer_of(kind, model, tmp_path)
        if model is ours:
            trainer._prompts, trainer._prompt_of = prompts_of(batch())
            score_labelled_tokens_only(ours, ("log_probs", "entropy"), GRPO.temperature)
        log_probs, entropies, _ = trainer._get_per_token_logps_and_entropies(
            model, **batch(), batch_size=size, compute_entropy=True
        )
        (log_probs * mask * torch.linspace(-1, 1, mask.numel()).view_as(mask)).sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        results.append((log_probs.detach()[mask], entropies.detach()[mask], gradients))
    torch.testing.assert_close(results[0][:2], results[1][:2], rtol=1e-5, atol=1e-5)
    for name, gradient in results[0][2].items():
        torch.testing.assert_close(results[1][2][name], gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_a_completion_with_an_image_token_is_scored_and_moves_no_other(tmp_path: Path) -> None:
    """It is sampled now and then, as any token; transformers would expect an image for it."""
    model, processor = model_and_processor()
    trainer = trainer_of(SharedPrefixGRPOTrainer, model, tmp_path)
    score_labelled_tokens_only(model, ("log_probs", "entropy"), GRPO.temperature)
    rollouts = batch()
    trainer._prompts, trainer._prompt_of = prompts_of(rollouts)
    row = int(rollouts["attention_mask"][:, -5:].sum(dim=1).argmax())
    image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    with torch.no_grad():
        before, _, _ = trainer._get_per_token_logps_and_entropies(model, **rollouts)
        rollouts["input_ids"][row, -4] = image_token  # the second of five
        after, _, _ = trainer._get_per_token_logps_and_entropies(model, **rollouts)
    others = [i for i in range(len(before)) if i != row]
    torch.testing.assert_close(after[others], before[others], rtol=1e-5, atol=1e-5)
    assert after[row, 0] == pytest.approx(float(before[row, 0]), abs=1e-5)
    assert bool(torch.isfinite(after[row]).all()) and bool((after[row, :5] < 0).all())


@pytest.mark.parametrize(("micro_batch", "loss"), [(8, "grpo"), (2, "dapo")])
def test_weights_are_the_same_without_the_groups_whose_rewards_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, micro_batch: int, loss: str
) -> None:
    """In whole groups and in micro-batches that cut them; in the second step no group varies, so nothing moves."""
    passed: list[int] = []
    score = SharedPrefixGRPOTrainer._score

    def counted(self: Any, model: Any, prompt_of: list[int], *args: Any) -> Any:
        passed.append(len(prompt_of))
        return score(self, model, prompt_of, *args)

    def rewards(self: GRPOTrainer, inputs: Any, *_: Any) -> torch.Tensor:
        varied = [0.1 * n if n < GRPO.rollouts and self.state.global_step == 0 else 0.7 for n in range(len(inputs))]
        return torch.tensor(varied)[:, None].repeat(1, 5)

    monkeypatch.setattr(GroundingGRPOTrainer, "_score", counted)
    monkeypatch.setattr(GRPOTrainer, "_calculate_rewards", rewards)
    settings = replace(GRPO, steps=2, micro_batch=micro_batch, loss_type=loss)
    weights, rows, logs = [], [], []
    for skips in (False, True):
        monkeypatch.setattr(GroundingGRPOTrainer, "skips", skips)
        passed.clear()
        model, processor = model_and_processor()
        log: list[dict[str, Any]] = []
        train_grpo(
            model, processor, samples(), samples("validation")[:2], FORMS["direct"], settings,
            collate=ConversationCollator(processor, 20), seed=0, folder=tmp_path / str(skips), record=log.append,
        )  # fmt: skip
        weights.append({name: p.detach().clone() for name, p in model.named_parameters()})
        rows.append(sum(passed))
        logs.append(log)
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-4, atol=1e-5, msg=name)
    batches = GRPO.prompts * GRPO.rollouts // micro_batch
    without_variance = batches - min(batches, GRPO.rollouts // micro_batch or 1) + batches
    assert rows[0] == 2 * GRPO.prompts * GRPO.rollouts
    assert rows[1] == GRPO.rollouts + without_variance  # a row for each micro-batch that has none of a varied group
    assert logs[1][0]["zero_variance_share"] == 0.5 and logs[1][0]["entropy"] == pytest.approx(
        logs[0][0]["entropy"], rel=0.5
    )
