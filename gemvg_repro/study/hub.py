"""Which folder of weights is meant by a folder, or by a model's name on the Hugging Face hub?

A name is looked for in the hub's cache first: so a run that goes on has the weights that it began with, and a node
without network has those that were downloaded before. Only weights in safetensors, and text, are downloaded.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from ..files.validation import Refused
from ..models.checkpoints import missing_files
from .paths import absolute

_PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.jinja")
_INDEX = "model.safetensors.index.json"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def is_hub_name(checkpoint: str) -> bool:
    """Whether a checkpoint is written as a model's name on the Hugging Face hub, and is no folder here."""
    return _NAME.fullmatch(checkpoint) is not None and not absolute(checkpoint).is_dir()


def checkpoint_folder(checkpoint: str) -> Path:
    """The folder itself, or the snapshot in the hub's cache of the model of this name, downloaded if need be.

    A snapshot's name is the commit of its content.

    Raises:
        Refused: it is neither, and cannot be downloaded; the message says what can be done.
    """
    here = absolute(checkpoint)
    if here.is_dir() or not _NAME.fullmatch(checkpoint):
        return here
    if (folder := cached(checkpoint)) is not None:
        return folder
    from huggingface_hub import snapshot_download

    cause: Exception | str = "files are missing"
    try:
        folder = Path(snapshot_download(checkpoint, allow_patterns=list(_PATTERNS)))
        if _whole(folder):
            return folder
    except Exception as error:  # the hub's client raises errors of several HTTP libraries
        cause = error
    raise _refusal(checkpoint, cause)


def commit_of(name: str) -> str:
    """The commit that a model's name stands for: its snapshot's in the cache, else the hub's newest; nothing is
    downloaded, since planning asks.

    Raises:
        Refused: there is neither.
    """
    if (folder := cached(name)) is not None:
        return folder.name
    from huggingface_hub import model_info

    try:
        return str(model_info(name).sha)
    except Exception as error:
        raise _refusal(name, error) from error


def cached(name: str) -> Path | None:
    """The snapshot in the hub's cache, if it is whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError):
        folder = Path(snapshot_download(name, local_files_only=True))
        if _whole(folder):
            return folder
    return None


def snapshots_of(name: str) -> list[str]:
    """The commits of a model whose snapshots are in the hub's cache, whole or not."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "snapshots"
    return sorted(path.name for path in folder.glob("*"))


def _refusal(name: str, cause: Exception | str) -> Refused:
    reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    return Refused(
        f"{name!r} is no folder here, and as a model of the Hugging Face hub it is not whole in this machine's"
        f" cache and cannot be downloaded: {reason:.200}\n"
        f"Where there is a network, `hf download {name}` fetches it; then copy the cache here (HF_HOME, else"
        " ~/.cache/huggingface), or give a folder of weights: -p checkpoint DIR, or `base` of a profile"
    )


def _whole(folder: Path) -> bool:
    """Whether a snapshot has all files that loading needs; a download that was stopped leaves some out."""
    index = folder / _INDEX
    weights = re.findall(r"[\w.-]+\.safetensors", index.read_text("utf-8")) if index.is_file() else []
    has_weights = all((folder / name).is_file() for name in set(weights) or {"model.safetensors"})
    return has_weights and not missing_files(folder)
