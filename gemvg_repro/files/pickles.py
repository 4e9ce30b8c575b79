"""A sandboxed reader of pickles of unknown origin that hold plain data: containers, numbers, text, numeric arrays.

No function or class that a pickle names is called. The few names that numpy's arrays need are replaced by code of this
module, which takes the raw bytes and checks them; any other name refuses the file.

Plain data can be hostile too: four bytes make the unpickler allocate 32 GB for its memo, a tuple of two equal tuples,
nested 60 deep, takes years to hash as a key, and one nested a million deep overflows the stack. So a process of its own
reads the file, within limits of memory and time, and passes on its content.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from .validation import Refused

MAX_BYTES = 2**30
"""The largest pickle that is opened."""

MEMORY = 2**30, 30
"""Limit of memory in bytes: a constant, and a factor of the file's size."""

SECONDS = 0.25, 1e-6
"""Limit of CPU time in seconds, from the start of reading: a constant, and seconds for each byte of the file."""

_KINDS = "biuf"


class _Dtype:
    """A numeric dtype, as numpy pickles it: a code such as "f4", then its byte order."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(text, str) or len(text) > 4 or text.lstrip("<>=|")[:1] not in (*_KINDS, "?"):
            raise pickle.UnpicklingError(f"an array of {str(text)[:40]!r}; only numbers are admitted")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("a byte order that does not exist")
        self.dtype = np.dtype(f"{order}{self.dtype.str[1:]}")


def _array(raw: Any, dtype: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes | bytearray):
        raise pickle.UnpicklingError("an array that is not made of numbers")
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise pickle.UnpicklingError("an array without a proper shape")
    return np.frombuffer(bytes(raw), dtype=dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


class _Array:
    """An array while it is unpickled: `_reconstruct`, then the state (version, shape, dtype, Fortran order, bytes)."""

    def __init__(self, *_: Any) -> None:
        self.value: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state if len(state) == 5 else (None, *state)
        if isinstance(raw, str):  # protocol 2, read as latin-1
            raw = raw.encode("latin-1")
        self.value = _array(raw, dtype, shape, "F" if fortran else "C")


def _scalar(dtype: Any, raw: Any = b"") -> int | float | bool:
    if isinstance(raw, str):
        raw = raw.encode("latin-1")
    value: int | float | bool = _array(raw, dtype, (1,), "C")[0].item()
    return value


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    return _array(raw, dtype, shape, str(order))


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("text in an unexpected encoding")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """What protocol 2 calls for b""; with arguments it could fill the memory."""
    return b""


class _NeverCalled:
    """In place of the class numpy.ndarray, which pickles name as an argument only."""


_ADMITTED: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _NeverCalled,
}
for _builtins in ("builtins", "__builtin__"):  # protocols 2 and below
    _ADMITTED |= {
        (_builtins, "set"): set,
        (_builtins, "frozenset"): frozenset,
        (_builtins, "bytes"): _no_bytes,
    }
for _core in ("numpy.core", "numpy._core"):
    _ADMITTED |= {
        (f"{_core}.multiarray", "_reconstruct"): _Array,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _from_buffer,
    }


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module[:60]}.{name[:60]}, which data has no need of") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of itself")


def load(file: Path, max_bytes: int = MAX_BYTES, encoding: str = "latin-1") -> Any:
    """The content of a pickle: dict, list, tuple, set, text, numbers, bytes, numeric numpy arrays.

    `encoding` is that of the texts that Python 2 wrote as bytes: "latin-1" keeps the arrays among them, "utf-8" reads
    their words (an invalid byte becomes U+FFFD).

    Raises Refused if it is missing, larger than `max_bytes`, cut off, takes more than MEMORY or SECONDS, is nested
    deeper than Python's pickle would write, or holds anything else.
    """
    try:
        size = file.stat().st_size
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}") from error
    if size > max_bytes:
        raise Refused(f"{file} has {size} bytes; a pickle of at most {max_bytes} is opened")
    memory, seconds = (base + rate * size for base, rate in (MEMORY, SECONDS))
    reader = subprocess.run(
        [sys.executable, "-m", __name__, str(file), str(int(memory)), str(seconds), encoding],
        capture_output=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path), "OPENBLAS_NUM_THREADS": "1"},
    )
    if reader.returncode:
        reason = reader.stderr.decode("utf-8", "replace").strip()[-300:]
        if reader.returncode == -signal.SIGPROF:
            reason = f"it is not read after {seconds:.2f} s of computing"
        raise Refused(f"{file} is no pickle of plain data: {reason or f'its reader ended with {reader.returncode}'}")
    return _read(io.BytesIO(reader.stdout))


def _main(file: str, memory: str, seconds: str, encoding: str) -> None:
    """Entry point of the process that `load` starts: reads the file and pickles its content to standard output."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_PROF, float(seconds))  # SIGPROF ends the process, within one operation too
    with suppress(ValueError, OSError):  # macOS
        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    try:
        with Path(file).open("rb") as content:
            pickle.dump(_read(content, encoding), sys.stdout.buffer, 5)
    except MemoryError:
        sys.exit(f"it takes more than {int(memory) / 2**30:.1f} GiB of memory")
    except RecursionError:
        sys.exit("it is nested too deeply")
    except Exception as error:  # a broken pickle makes the machine that reads it raise anything
        sys.exit(f"{error!s:.200}" or type(error).__name__)


def _read(content: IO[bytes], encoding: str = "latin-1") -> Any:
    return _finished(_Unpickler(content, encoding=encoding, errors="replace").load())


_LEAVES = (str, bytes, bytearray, int, float, type(None), np.ndarray)


def _finished(root: Any) -> Any:
    """Replaces every _Array by its array, and checks that all is data; a shared container is visited once."""
    holder = [root]
    seen: set[int] = set()
    waiting: list[Any] = [holder]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            waiting.extend(one)
            for key, value in one.items():
                one[key] = _in_place(value)
            waiting.extend(one.values())
        elif isinstance(one, list):
            one[:] = [_in_place(value) for value in one]
            waiting.extend(one)
        elif isinstance(one, tuple | set | frozenset):
            waiting.extend(one)
        elif not isinstance(one, _LEAVES):
            raise pickle.UnpicklingError("it holds something that is not data")
    return holder[0]


def _in_place(value: Any) -> Any:
    """The array of an _Array, also within a tuple."""
    if isinstance(value, _Array) and value.value is not None:
        return value.value
    if type(value) is tuple and any(isinstance(v, _Array) for v in value):
        return tuple(_in_place(v) for v in value)
    return value


if __name__ == "__main__":
    _main(*sys.argv[1:])
