"""Rewards are parsed from token ids; prompts are those of evaluation; variants share their samples and rollouts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gemvg_repro.grounding.answers import completion
from gemvg_repro.grounding.rewards import TERMS
from gemvg_repro.models.generation import prompt_text
from gemvg_repro.models.processor import ImageOnlyProcessor
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training import grpo
from gemvg_repro.training.collator import ConversationCollator
from gemvg_repro.training.grpo import GroundingGRPOTrainer, prompt_dataset, reward_functions, train_grpo

from ..qwen_tokenizer import qwen_tokenizer
from ..tiny_model import model_and_processor, samples
from .made import GRPO


def processor_of(name: str) -> ImageOnlyProcessor:
    _, ours = model_and_processor()
    bpe = qwen_tokenizer()
    return ours if name == "words" else ImageOnlyProcessor(ours.image_processor, bpe, chat_template=bpe.chat_template)


@pytest.mark.parametrize("name", ["words", "bytes"])
def test_true_answers_have_the_full_reward(name: str) -> None:
    processor = processor_of(name)
    test = samples("test")
    functions = reward_functions(test, processor)
    assert [f.__name__ for f in functions] == list(TERMS)
    for mode in ("direct", "cot"):
        texts = [completion(s, mode, 20) + "<|im_end|>" for s in test]
        ids = [processor.tokenizer(t, add_special_tokens=False)["input_ids"] for t in texts]
        row: dict[str, Any] = {
            "completion_ids": ids,
            "index": list(range(len(test))),
            "mode": [mode] * len(test),
        }
        scores = {f.__name__: f(completions=None, prompts=None, **row) for f in functions}
        assert set(scores["format"]) == set(scores["picture"]) == set(scores["count"]) == {1.0}
        assert min(scores["localisation"]) > 0.6  # coordinates are rounded to the step
        other = "cot" if mode == "direct" else "direct"
        assert not any(functions[0](**{**row, "mode": [other] * len(test)}))


def test_every_variant_has_the_same_samples_and_rollouts() -> None:
    train = samples()
    indices = {}
    for variant, form in FORMS.items():
        rows = prompt_dataset(train, form.modes, form.samples(6), seed=1)
        indices[variant] = list(dict.fromkeys(rows["index"]))
        assert set(Counter(rows["index"]).values()) == {len(form.modes)}
        assert len(rows) * form.completions_of_prompt(GRPO.rollouts) == 6 * GRPO.rollouts
    assert indices.pop("hybrid_8") != indices["cot"]  # half as many samples, each in whole groups of both modes
    assert all(of_variant == indices["cot"] for of_variant in indices.values())
    assert prompt_dataset(train, ("cot",), 6, seed=2)["index"] != indices["cot"]


def test_hybrid_prompts_with_each_sample_in_both_modes_side_by_side() -> None:
    rows = prompt_dataset(samples(), FORMS["hybrid"].modes, 5, seed=0)
    assert rows["mode"] == ["direct", "cot"] * 5
    assert rows["index"][::2] == rows["index"][1::2]


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"999 distinct samples are asked for, the data has \d+"):
        prompt_dataset(samples(), ("cot",), 999, seed=0)


def test_trl_s_prompts_are_those_of_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompts that TRL tokenises are, token for token, those of models.generation; the log has every term."""
    calls: list[tuple[Any, Any]] = []
    original = GroundingGRPOTrainer._tokenize_prompts

    def recorded(self: GroundingGRPOTrainer, prompts: Any) -> Any:
        out = original(self, prompts)
        calls.append((prompts, out[0]))
        return out

    monkeypatch.setattr(grpo.GroundingGRPOTrainer, "_tokenize_prompts", recorded)
    model, processor = model_and_processor()
    log: list[dict[str, Any]] = []
    train = samples()
    train_grpo(
        model, processor, train, samples("validation")[:2], FORMS["hybrid"], GRPO.for_steps(1),
        collate=ConversationCollator(processor, 20), seed=0, folder=tmp_path, record=log.append,
    )  # fmt: skip
    rows = prompt_dataset(train, FORMS["hybrid"].modes, GRPO.prompts, seed=0)
    expected = []
    for index, mode in zip(rows["index"], rows["mode"], strict=True):
        sample = train[index]
        images = [[Image.fromarray(p.pixels()) for p in sample.pictures]]
        ids = processor(text=[prompt_text(processor, sample, mode)], images=images)["input_ids"][0]
        expected += [list(ids)] * (GRPO.rollouts // 2)
    assert [list(ids) for _, batch in calls for ids in batch] == expected
    for key in (
        "reward",
        "zero_variance_share",
        "clip_share",
        "truncated_share",
        "length_mean",
        "entropy",
        "tokens",
    ):
        assert key in log[0]
    assert all(f"reward/{term}" in log[0] for term in TERMS)
