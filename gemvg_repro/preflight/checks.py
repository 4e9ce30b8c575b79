"""The checks of a preflight: each says what it found, and where it fails, what to do, in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from ..corpora import shards, user_coco
from ..files.validation import Refused
from ..grounding.samples import Sample
from ..models.chat_template import read_template, template_error
from ..models.checkpoints import check
from ..models.families import family_of_folder
from ..study.hub import is_hub_name, snapshots_of
from ..study.profiles import Profile, load_profile
from ..study.resources import Needs
from ..study.variants import TRAINED
from .base_config import base_config, base_folder
from .costs import KEPT_CHECKPOINTS, checkpoint_bytes
from .estimates import RESERVE, GiB, cuts, memory_of, settings_of, valid_processes
from .machine import Machine
from .shapes import ModelShape

MEMORY_KINDS = ("sft", "cot", "hybrid", "evaluate")
"""The kinds of runs that differ in memory; the others take as much as one of them."""
PROCESS = 3e9
"""Bytes of host memory of a process with its libraries, and a training set's rows."""
HASH_RATE = 1.4e9
"""Bytes a second of SHA-256 on one core: a save is no faster."""
PICTURES_OF = 64
"""So many samples are read, with their pictures."""


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    check: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Question:
    """What is to be run, and with what.

    Attributes:
        profile: the profile's name.
        machine: where.
        processes: of a training, one a GPU.
        data: the folder of shards or the file of annotations; None: the profile's own, or not said.
        needs: what is asked of the cluster.
        kinds: of the runs whose memory is compared.
    """

    profile: str
    machine: Machine
    processes: int
    data: Path | None
    needs: Needs
    kinds: Sequence[str] = MEMORY_KINDS


def findings(question: Question) -> Iterator[Finding]:
    """All checks, the quick ones first. A profile that cannot be read ends them."""
    try:
        profile = load_profile(question.profile)
    except ValueError as error:
        yield Finding("configuration", False, str(error))
        return
    yield Finding("configuration", True, f"profile {profile.name}, base {profile.base}")
    for name, one in (
        ("versions", _versions), ("compiler", _compiler), ("devices", _devices), ("base", _base),
        ("chat template", _template), ("data", _data),
    ):  # fmt: skip
        yield _finding(name, partial(one, question, profile))
    try:
        config = base_config(profile)
    except Refused as error:
        yield Finding("config.json", False, str(error))
        return
    shape = ModelShape.of(config)
    yield Finding("config.json", True, f"{shape.weights / 1e9:.2f} G weights, {shape.layers} layers")
    for name, sized in (("batches", _batches), ("disk", _disk), ("time to save", _saving), ("host memory", _host)):
        yield _finding(name, partial(sized, question, profile, shape))
    for kind in question.kinds:
        yield _finding(f"memory of {kind}", partial(_memory, question, profile, config, kind))


class Fault(Exception):
    """What is wrong, and the mend."""


def _finding(name: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, ask())
    except (Fault, Refused, OSError) as error:
        return Finding(name, False, str(error))


def _versions(question: Question, profile: Profile) -> str:
    machine = question.machine
    wrong = {
        name: specifier
        for name, specifier in machine.pinned.items()
        if not SpecifierSet(specifier).contains(machine.versions.get(name, "0"), prereleases=True)
    }
    if wrong:
        each = ", ".join(f"{name} {machine.versions.get(name)} where {s} is pinned" for name, s in wrong.items())
        raise Fault(f"{each}: numbers and ids would be others; pip install -r requirements.lock")
    return ", ".join(f"{name} {installed}" for name, installed in machine.versions.items())


def _compiler(question: Question, profile: Profile) -> str:
    if not question.machine.gpus:
        return "none is needed: without a GPU no Triton kernel is compiled"
    if question.machine.compiler is None:
        raise Fault(
            "Triton compiles kernels of TRL's LM head on the node, and there is no C compiler with Python.h:"
            " `module load gcc` under setup, or apt install gcc python3-dev; CC names another compiler"
        )
    return question.machine.compiler


def _devices(question: Question, profile: Profile) -> str:
    machine = question.machine
    if machine.gpus < question.processes and machine.gpus:
        raise Fault(f"{question.processes} GPUs are asked for, and there are {machine.gpus}: --gpus {machine.gpus}")
    if not machine.gpus and profile.dtype == "bfloat16":
        raise Fault("there is no GPU here; name those of the node: --gpus 1 --memory 141")
    if machine.gpus and not machine.bf16 and profile.dtype == "bfloat16":
        raise Fault("these GPUs do not compute in bfloat16, the profile's dtype; A100 and newer do")
    where = "named" if machine.named else "found"
    return f"{machine.gpus} GPUs of {machine.gpu_memory / GiB:.0f} GiB, {where}" if machine.gpus else "the CPU"


def _base(question: Question, profile: Profile) -> str:
    folder = base_folder(profile)
    download = f"`hf download {profile.base}`, where there is a network, then copy HF_HOME here"
    if folder is None:
        raise Fault(f"{profile.base} is not whole in the hub's cache: {download}")
    if is_hub_name(profile.base_folder()):
        names = snapshots_of(profile.base)
        if len(names) > 1:
            raise Fault(
                f"the hub's cache has {len(names)} revisions of {profile.base}: {', '.join(n[:10] for n in names)};"
                f" which one a run starts from depends on refs/main, now {folder.name[:10]}: remove the others"
                " (`hf cache rm`), or give a folder as `base`"
            )
    check(folder)
    return f"whole; revision {folder.name}" if is_hub_name(profile.base_folder()) else f"whole: {folder}"


def _template(question: Question, profile: Profile) -> str:
    folder = base_folder(profile)
    if folder is None:
        raise Fault("not known: the base is not here")
    if error := template_error(read_template(folder)):
        example = family_of_folder(folder).example
        raise Fault(f"{folder}: the template {error}; copy the chat template of {example} into it")
    return "names pictures as answers do"


def _data(question: Question, profile: Profile) -> str:
    data = question.data
    if data is None:
        if profile.data.recipe is None:
            raise Fault("none is given, and the profile has none of its own: --data FOLDER of shards, or FILE.json")
        return "the profile's own"
    if not data.exists():
        raise Fault(f"there is no {data}; compose it by notebooks/data.ipynb, or give another: --data FOLDER")
    if data.is_file():
        return f"{len(user_coco.load(data, profile.data.most_pixels).images):,} images, all of them readable"
    shards.verify(data)
    some: list[Sample] = list(islice(shards.samples(data, "sft", most_pixels=profile.data.most_pixels), PICTURES_OF))
    for sample in some:
        for picture in sample.pictures:
            picture.pixels()
    required = profile.grpo.steps * profile.grpo.prompts
    if (prompts := shards.prompts(data)) < required:
        most = prompts // profile.grpo.prompts
        raise Fault(f"{data} has {prompts:,} prompts for GRPO, which takes {required:,}: more data, or {most} steps")
    return (
        f"shards as in their manifest, {prompts:,} prompts for GRPO; the pictures of {len(some)} samples are readable"
    )


def _batches(question: Question, profile: Profile, shape: ModelShape) -> str:
    for kind in TRAINED:
        if question.processes not in (valid := valid_processes(kind, profile)):
            settings = settings_of(kind, profile)
            raise Fault(
                f"a step of {kind} does not divide among {question.processes} processes with micro_batch"
                f" {settings.micro_batch}: --gpus {', '.join(map(str, valid))}"
            )
    return f"a step of every training divides among {question.processes} processes"


def _disk(question: Question, profile: Profile, shape: ModelShape) -> str:
    size = _size(profile)
    most = max(checkpoint_bytes(shape, size, settings_of(kind, profile)) for kind in ("sft", "cot"))
    needed = KEPT_CHECKPOINTS * most + size * shape.weights
    free = question.machine.disk
    if free < needed:
        raise Fault(
            f"a training takes {needed / 1e9:.0f} GB at its peak ({KEPT_CHECKPOINTS} checkpoints of {most / 1e9:.0f} GB"
            f" and its weights), and {free / 1e9:.0f} GB are free: free {(needed - free) / 1e9:.0f} GB"
            " (--clean removes what no run needs), or --runs DIR on a larger disk"
        )
    return f"a training takes {needed / 1e9:.0f} GB at its peak, {free / 1e9:.0f} GB are free"


def _saving(question: Question, profile: Profile, shape: ModelShape) -> str:
    written = checkpoint_bytes(shape, _size(profile), profile.sft)
    rate = min(question.machine.write_rate, HASH_RATE)
    seconds = written / rate if rate else float("inf")
    lead = question.needs.signal_s
    if lead is not None and lead < 1.5 * seconds:
        raise Fault(
            f"a save of {written / 1e9:.0f} GB takes some {seconds:.0f} s at {rate / 1e9:.1f} GB/s, and signal_s leaves"
            f" {lead} s: signal_s {1.5 * seconds + 60:.0f}, or leave it out, and each run finds its own"
        )
    limit = question.needs.timeout_min * 60
    if limit < 4 * seconds:
        raise Fault(
            f"a save takes some {seconds:.0f} s, and timeout_min gives an attempt {limit} s:"
            f" timeout_min {4 * seconds / 60:.0f} or more"
        )
    return f"some {seconds:.0f} s at {rate / 1e9:.2f} GB/s; signal_s {lead or 'follows the saves'}"


def _host(question: Question, profile: Profile, shape: ModelShape) -> str:
    """A resume reads the optimiser's state into memory, and the weights beside those that are loaded."""
    state = checkpoint_bytes(shape, _size(profile), profile.sft)
    needed = state + question.processes * (PROCESS + _size(profile) * shape.weights)
    limit = question.needs.mem_gb
    available = limit * 1e9 if limit else question.machine.host_memory
    if available < needed:
        change = f"mem_gb {needed / 1e9:.0f}" if limit else "a node with more"
        raise Fault(
            f"{needed / 1e9:.0f} GB of host memory are needed to resume (the optimiser's state, and the weights of"
            f" {question.processes} processes), and there are {available / 1e9:.0f}: {change}"
        )
    return f"{needed / 1e9:.0f} of {available / 1e9:.0f} GB"


def _memory(question: Question, profile: Profile, config: Mapping[str, Any], kind: str) -> str:
    machine = question.machine
    available = machine.gpu_memory if machine.gpus else machine.host_memory
    processes = question.processes if kind in TRAINED else 1
    memory = memory_of(kind, profile, config, processes)
    parts = ", ".join(f"{part} {size / GiB:.1f}" for part, size in memory.parts.items())
    text = f"{memory.total / GiB:.0f} of {available / GiB:.0f} GiB in {memory.phase}: {parts}"
    if memory.total + RESERVE > available:
        mends = list(cuts(kind, profile, config, available, processes))
        mend = "; ".join(mends[:4]) or "no single cut fits: a larger GPU, or several cuts"
        raise Fault(f"{text}. Does not fit: {mend}")
    return text


def _size(profile: Profile) -> int:
    return 2 if profile.dtype == "bfloat16" else 4
