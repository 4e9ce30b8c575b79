"""Which folder of weights is meant by a folder, or by a model's name on the Hugging Face hub?

A name is looked for in the hub's cache first: so a run that goes on has the weights that it began with, and a node
without network has those that were downloaded before. Only weights in safetensors, and text, are downloaded.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from ..corpora.refusal import Refused
from .parameters import is_hub_name, resolve

_WANTED = ("*.json", "*.safetensors", "*.txt", "*.jinja")
_NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")
_INDEX = "model.safetensors.index.json"


def checkpoint_folder(checkpoint: str) -> Path:
    """The folder itself, or the snapshot in the hub's cache of the model of this name, downloaded if need be.

    A snapshot's name is the commit of its content.

    Raises:
        Refused: it is neither, and cannot be downloaded; the message says what can be done.
    """
    if not is_hub_name(checkpoint):
        return resolve(checkpoint)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError):
        folder = Path(snapshot_download(checkpoint, local_files_only=True))
        if _whole(folder):
            return folder
    said = "files are missing"
    try:
        folder = Path(snapshot_download(checkpoint, allow_patterns=list(_WANTED)))
        if _whole(folder):
            return folder
    except Exception as error:  # the hub's client raises errors of several HTTP libraries
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise Refused(
        f"{checkpoint!r} is no folder here, and as a model of the Hugging Face hub it is not whole in this machine's"
        f" cache and cannot be downloaded: {said:.200}\n"
        f"Where there is a network, `hf download {checkpoint}` fetches it; then copy the cache here (HF_HOME, else"
        " ~/.cache/huggingface), or give a folder of weights: -p checkpoint DIR"
    )


def _whole(folder: Path) -> bool:
    """Whether a snapshot has all files that loading needs; a download that was stopped leaves some out."""
    index = folder / _INDEX
    weights = re.findall(r"[\w.-]+\.safetensors", index.read_text("utf-8")) if index.is_file() else []
    return all((folder / name).is_file() for name in (*_NEEDED, *(set(weights) or {"model.safetensors"})))
