"""What one card can show in ten minutes, with 0.3 billion random weights in bf16 and the real vocabulary.

`make test-gpu` runs it, and prints what it measures; docs/gpu.md says when that was last done, and on what.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from gemvg_repro.models.families import QWEN2_VL
from gemvg_repro.models.images import repeated
from gemvg_repro.models.loading import load
from gemvg_repro.preflight.memory import sft_memory
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.study.parameters import EvaluateParameters
from gemvg_repro.study.spec import resolve
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.checkpoint_hashing import weights_hash
from gemvg_repro.training.collator import IGNORED, ConversationCollator, Turn
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.grpo import train_grpo
from gemvg_repro.training.sft import train_sft
from tools.memory_estimate import MadeUp, batch_of, third_config

from ..qwen2vl_files import needs_files, write_checkpoint
from ..stages.test_paper_path import small_study
from ..tiny_model import samples
from ..training.made import GRPO, OPTIMISER, SFT

needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no accelerator")
pytestmark = [pytest.mark.gpu, needs_card, needs_files]

_ADAMW = replace(OPTIMISER, lr=1e-5, muon_lr=None)
AS_IN_PAPER: dict[str, Any] = {
    "frozen_vision": True, "bf16": True, "gradient_checkpointing": True, "optimiser": _ADAMW,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the 7B's proportions, see `tools.memory_estimate`."""
    folder = tmp_path_factory.mktemp("third") / "base"
    config = third_config()
    sizes = {name: config[name] for name in config if name not in ("vision_config", "image_token_id", "video_token_id")}
    assert 3e8 < write_checkpoint(folder, sizes, config["vision_config"]) < 4e8
    return folder


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Deterministic kernels, where CUDA has them."""
    monkeypatch.setitem(os.environ, "CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def test_a_step_of_each_stage_and_an_evaluation(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base").symlink_to(base)
    shared, run = small_study(tmp_path, monkeypatch)
    assert json.loads((run / "result.json").read_text())["cost"]["peak_gpu_memory_mb"] > 0
    run = evaluate(resolve(EvaluateParameters(mode="hybrid", prerequisites="require", samples=3, **shared)))
    assert len((run / "predictions-generalised-cot.jsonl").read_text().splitlines()) == 1 + 3


@pytest.mark.parametrize("stage", ["sft", "hybrid"])
def test_a_training_resumes_to_the_bit(stage: str, base: Path, tmp_path: Path, deterministic: None) -> None:
    def trained(folder: Path, stop_in: int = 0) -> str:
        model, processor = load(base, "bfloat16")
        steps: list[int] = []
        about: dict[str, Any] = {
            "collate": ConversationCollator(processor, 1), "seed": 0, "folder": folder,
            "record": lambda entry: steps.append(entry["step"]), "stop": lambda: len(steps) + 1 == stop_in,
        }  # fmt: skip
        if stage == "sft":
            settings = replace(SFT, steps=4, **AS_IN_PAPER)
            train_sft(model, processor, training_conversations(samples(), settings, 0), settings, **about)
        else:
            grpo = replace(GRPO, **AS_IN_PAPER)
            train_grpo(model, processor, samples(), samples("validation")[:2], FORMS["hybrid"], grpo, **about)
        return weights_hash(model)

    whole = trained(tmp_path / "whole")
    trained(tmp_path / "stopped", stop_in=3)
    assert trained(tmp_path / "stopped") == whole


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_packed_rows_score_answers_as_transformers_does(dtype: str, limit: float, base: Path) -> None:
    """Mean difference of log-probabilities, in nats a token."""
    ours, processor = load(base, dtype)
    stock = QWEN2_VL.model_class.from_pretrained(base, dtype=getattr(torch, dtype)).to(ours.device)
    turns = [[Turn(sample, "direct")] * (1 + n % 3) for n, sample in enumerate(samples()[:6])]
    batch = ConversationCollator(processor, 1)(turns)
    labels = batch.pop("labels")[:, 1:].to(ours.device)

    @torch.no_grad()
    def log_probs(model: Any, inputs: dict[str, Any]) -> Tensor:
        on_card = {name: x.to(ours.device) if isinstance(x, Tensor) else x for name, x in inputs.items()}
        states = model.model(**on_card, use_cache=False).last_hidden_state[:, :-1][labels != IGNORED]
        every: Tensor = model.lm_head(states).float().log_softmax(-1)
        return every.gather(1, labels[labels != IGNORED][:, None])

    difference = (log_probs(ours.eval(), batch) - log_probs(stock.eval(), {**batch, **repeated(batch)})).abs().mean()
    print(f"\npacked against stock, {dtype}: {float(difference):.2e} nats a token")
    assert difference < limit


def test_memory_is_what_preflight_estimates_and_how_many_tokens_a_second(base: Path, tmp_path: Path) -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    model, processor = load(base, "bfloat16")
    settings = replace(SFT, steps=12, conversations=16, micro_batch=4, save_every=100, **AS_IN_PAPER)
    collate = MadeUp(model.config.image_token_id)
    log: list[dict[str, Any]] = []
    train_sft(
        model, processor, cast(Any, [[None]] * (settings.conversations * settings.steps)), settings,
        collate=cast(Any, collate), seed=0, folder=tmp_path, record=log.append,
    )  # fmt: skip
    peak = torch.cuda.max_memory_allocated() - before
    batch = batch_of(collate([[None]] * settings.micro_batch))
    estimate = sft_memory(json.loads((base / "config.json").read_text()), "bfloat16", settings, batch).total
    seconds = log[-1]["seconds"] - log[1]["seconds"]  # after the first steps, which choose kernels
    speed = (log[-1]["tokens"] - log[1]["tokens"]) / seconds
    print(f"\n{torch.cuda.get_device_name()}: peak {peak / 1e9:.2f} GB, estimated {estimate / 1e9:.2f} GB;"
          f" {speed:,.0f} tokens/s of SFT")  # fmt: skip
    assert estimate == pytest.approx(peak, rel=0.15)
