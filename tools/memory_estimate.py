"""How close is the estimated memory of a training to the measured one?

    python -m tools.memory_estimate miniature third      # third: 0.3 billion weights in bf16, 8 GB

Each case is a process of its own: three steps of SFT by `train_sft`. Measured is the peak of the resident memory above
what the process had before the model was loaded, when all libraries and samples were there. The estimate knows the
config, the settings and the sizes of the largest micro-batch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import psutil
import torch
from torch import Tensor

from gemvg_repro.models.loading import load
from gemvg_repro.models.processor import load_processor
from gemvg_repro.preflight.base_config import SHIPPED, base_config
from gemvg_repro.preflight.memory import sft_memory
from gemvg_repro.preflight.passes import Batch
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.training.collator import ConversationCollator
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.sft import train_sft
from tests import drawn

CASES = ("miniature", "third")
STEPS = 3
GB = 1e9
ROW, IMAGES, IMAGE, SCORED = 864, 2, (28, 28), 200
"""Of the 0.3 billion: tokens of a conversation, its images and their patches, and the labelled tokens."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.memory_estimate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="+", choices=CASES)
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    for case in options.cases:
        if options.here:
            measure(case)
        else:
            subprocess.run([sys.executable, "-m", "tools.memory_estimate", "--here", case], check=True)


def measure(case: str) -> None:
    """Trains, and prints the estimate beside the measured peak."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        profile = load_profile("miniature" if case == "miniature" else "paper")
        settings = replace(profile.sft, steps=STEPS, save_every=100)
        processor = load_processor(Path(load_profile("miniature").base_folder()))
        if case == "miniature":
            folder, config = Path(profile.base_folder()), base_config(profile)
            rows: Any = training_conversations(drawn.conversations(0, 300, 3, 0.0), settings, 0)
            collate: Any = ConversationCollator(processor, profile.coordinate_step)
        else:
            folder, config = Path(name) / "base", third_config()
            subprocess.run([sys.executable, "-c", _WRITE, str(folder), json.dumps(config)], check=True)
            settings = replace(settings, conversations=4)
            rows, collate = [[None]] * (settings.conversations * STEPS), MadeUp(611)
        remembering = Remembering(collate)
        collate([rows[0]] * settings.micro_batch)
        process = psutil.Process()
        before = process.memory_info().rss
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        model, _ = load(folder, profile.dtype)
        train_sft(
            model, processor, rows, settings,
            collate=cast(Any, remembering), seed=0, folder=Path(name) / "checkpoints", record=lambda entry: None,
        )  # fmt: skip
        status = Path("/proc/self/status").read_text()
        peak = 1024 * int(status.partition("VmHWM:")[2].split()[0]) - before
        largest = max(remembering.batches, key=lambda batch: sum(batch.rows))
        memory = sft_memory(config, profile.dtype, settings, largest)
        parts = ", ".join(f"{part} {size / GB:.3f}" for part, size in memory.parts.items())
        print(f"{case}: {largest.rows[:4]}... tokens, {len(largest.images)} images, {largest.scored} labelled")
        print(f"  estimated {memory.total / GB:.3f} GB ({memory.phase}: {parts})")
        print(f"  measured  {peak / GB:.3f} GB; the estimate is {100 * (memory.total / peak - 1):+.1f} % of it")


class Remembering:
    """A collator that keeps the sizes of its micro-batches."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate
        self.count_labels = collate.count_labels
        self.batches: list[Batch] = []

    def __call__(self, conversations: Any) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = self._collate(conversations)
        self.batches.append(batch_of(batch))
        return batch


def batch_of(batch: dict[str, Tensor]) -> Batch:
    """The sizes of a micro-batch."""
    rows = tuple(batch["attention_mask"].sum(1).tolist())
    images = tuple(batch["image_grid_thw"].prod(-1).tolist())
    return Batch(rows, images, int((batch["labels"][:, 1:] != -100).sum()))


def third_config() -> dict[str, Any]:
    """0.34 billion weights in the 7B's proportions: its vocabulary, seven heads to a head of keys, a frozen tower."""
    config: dict[str, Any] = json.loads((SHIPPED / "Qwen--Qwen2-VL-7B-Instruct.json").read_text("utf-8"))
    sizes = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 4, "num_attention_heads": 7}
    ids = {"image_token_id": 611, "video_token_id": 612, "num_key_value_heads": 1}
    tower = {"depth": 4, "embed_dim": 320, "num_heads": 4, "hidden_size": 896}
    return config | sizes | ids | {"vision_config": config["vision_config"] | tower}


_WRITE = """
import json, shutil, sys
from pathlib import Path
import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from gemvg_repro.study.profiles import load_profile
torch.manual_seed(0)
folder = Path(sys.argv[1])
shutil.copytree(load_profile("miniature").base_folder(), folder, ignore=shutil.ignore_patterns("*.safetensors", "SHA*"))
Qwen2VLForConditionalGeneration._from_config(
    Qwen2VLConfig.from_dict(json.loads(sys.argv[2])), dtype=torch.bfloat16
).save_pretrained(folder)
"""
"""Writes a random checkpoint of a config; in a process of its own, whose memory is not measured."""


class MadeUp:
    """A collator of micro-batches of random content and the sizes above, with this id of the image token."""

    def __init__(self, image_token: int) -> None:
        self._image_token = image_token

    def __call__(self, conversations: Any) -> dict[str, Tensor]:
        rows = len(conversations)
        tokens = IMAGE[0] * IMAGE[1] // 4
        ids = torch.randint(0, 590, (rows, ROW))
        for number in range(IMAGES):
            start = 1 + number * (tokens + 1)
            ids[:, start : start + tokens] = self._image_token
        labels = torch.full_like(ids, -100)
        labels[:, -SCORED:] = ids[:, -SCORED:]
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == self._image_token).int(),
            "labels": labels,
            "pixel_values": torch.randn(rows * IMAGES * IMAGE[0] * IMAGE[1], 1176),
            "image_grid_thw": torch.tensor([[1, *IMAGE]] * (rows * IMAGES)),
        }

    def count_labels(self, conversations: Any) -> int:
        return SCORED * len(conversations)


if __name__ == "__main__":
    main()
