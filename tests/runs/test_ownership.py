"""Locks: never broken while the owner lives, and always released after it has died, on any file system."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from gemvg_repro.runs import ownership
from gemvg_repro.runs.directory import Run
from gemvg_repro.runs.owner import Owner
from gemvg_repro.runs.ownership import Lock, OwnedError, owner_of

SOON_S = 0.6
"""In place of SILENCE_S."""

# Takes a lock and holds it until its input ends.
HOLD = """
import sys
from pathlib import Path
from gemvg_repro.runs.ownership import Lock
lock = Lock.take(Path(sys.argv[1]))
print("mine", flush=True)
sys.stdin.read()
"""


def hold(path: Path, *before: str) -> subprocess.Popen[str]:
    """Another process that has the lock."""
    command = [*before, sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "mine\n"
    return process


def elsewhere(**changes: object) -> Owner:
    """An owner on a machine of the same name that was booted another time."""
    owner = Owner("node-7", os.getpid(), "another-boot pid:[1] time:[1]", 17.0, "2026-01-01 00:00:00", "t1")
    return replace(owner, **changes)  # type: ignore[arg-type]


def write(path: Path, owner: Owner) -> Path:
    path.write_text(json.dumps(asdict(owner)))
    return path


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that other machines see too. What it grants of flock is up to each test."""
    monkeypatch.setattr(ownership, "file_system", lambda folder: "nfs4")


@pytest.fixture
def beating() -> Iterator[Callable[[Path], None]]:
    """Touches lock files as an owner on another machine would."""
    over = threading.Event()

    def touch(path: Path) -> None:
        while not over.wait(0.05):
            os.utime(path)

    yield lambda path: threading.Thread(target=touch, args=(path,), daemon=True).start()
    over.set()


def test_an_owner_is_distinguished_from_a_later_process_of_its_number(tmp_path: Path) -> None:
    """Without any flock, as on a file system that grants it to all."""
    path = tmp_path / "owner.lock"
    held = hold(tmp_path / "other.lock")
    named = Owner(**json.loads((tmp_path / "other.lock").read_text()))
    assert named.pid == held.pid and named.lives
    write(path, named)
    with pytest.raises(OwnedError, match=rf"process {held.pid} on .*, since 20.*nothing was changed"):
        Lock.take(path)
    assert owner_of(path) == named
    write(path, replace(named, started=named.started - 60))
    assert owner_of(path) is None
    Lock.take(path).release()
    held.communicate()


def test_setting_the_clock_does_not_change_who_an_owner_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel counts a process's start from the boot; the time of the boot, by the clock, moves with the clock."""
    with Lock.take(tmp_path / "owner.lock") as lock:
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: 1.0)
        monkeypatch.setattr(time, "time", lambda: 1e12)
        named = Owner(**json.loads(lock.path.read_text()))
        assert named.lives and lock.holds


@pytest.mark.skipif(os.geteuid() != 0, reason="a container of its own needs root")
def test_two_containers_of_one_name_are_distinguished(tmp_path: Path) -> None:
    path = tmp_path / "owner.lock"
    held = hold(path, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    named = owner_of(path)
    assert named is not None and named.pid == 1 and named.host == os.uname().nodename
    assert not named.here and psutil.pid_exists(named.pid)  # its number is somebody else's here
    with pytest.raises(OwnedError, match="process 1 on"):
        Lock.take(path, silence_s=SOON_S)
    time.sleep(2 * SOON_S)  # longer than an owner elsewhere may be silent: here flock knows better
    with pytest.raises(OwnedError, match="process 1 on"):
        Lock.take(path, silence_s=SOON_S)
    held.kill()
    held.wait()
    Lock.take(path, patience_s=60).release()


def test_after_a_power_cut_a_lock_on_a_disk_is_free_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "owner.lock", elsewhere())
    assert owner_of(path) is None
    began = time.monotonic()
    Lock.take(path).release()
    assert time.monotonic() - began < 10  # not after SILENCE_S


@pytest.mark.usefixtures("network")
def test_an_owner_elsewhere_that_has_a_heartbeat_keeps_its_lock(
    tmp_path: Path, beating: Callable[[Path], None]
) -> None:
    path = write(tmp_path / "owner.lock", elsewhere())
    beating(path)
    for _ in range(2):
        with pytest.raises(OwnedError, match=r"process \d+ on node-7, since 2026-01-01"):
            Lock.take(path, silence_s=SOON_S)
    assert owner_of(path) == elsewhere() == Owner(**json.loads(path.read_text()))


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("minutes", [-7, 7])
def test_a_file_server_whose_clock_is_off_hides_no_living_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """The clock of the file system dates both the heartbeat and the file that it is compared with."""
    path = write(tmp_path / "owner.lock", elsewhere())
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60 * minutes)
    assert owner_of(path) == elsewhere()
    os.utime(path, (now - 600, now - 600))
    assert owner_of(path) is None and list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("network")
def test_a_dead_machine_s_lock_is_taken_after_its_silence(tmp_path: Path) -> None:
    path = write(tmp_path / "owner.lock", elsewhere())
    began = time.monotonic()
    with Lock.take(path, silence_s=SOON_S) as lock:
        assert time.monotonic() - began >= SOON_S
        assert lock.holds and Owner(**json.loads(path.read_text())).here


@pytest.mark.usefixtures("network")
def test_a_lock_that_the_server_keeps_for_a_dead_machine_is_taken_too(
    tmp_path: Path, beating: Callable[[Path], None]
) -> None:
    path = write(tmp_path / "owner.lock", elsewhere())
    with path.open() as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        with Lock.take(path, silence_s=SOON_S) as lock:
            assert lock.holds
        write(path, elsewhere(tenure="t2"))
    with path.open() as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        beating(path)
        with pytest.raises(OwnedError, match="node-7"):
            Lock.take(path, silence_s=SOON_S)


def test_an_owner_that_is_a_zombie_is_none(tmp_path: Path) -> None:
    """Its number is taken as long as its parent does not wait for it, which may be for ever."""
    path = tmp_path / "owner.lock"
    held = hold(path)
    held.kill()
    while psutil.Process(held.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    named = Owner(**json.loads(path.read_text()))
    assert named.here and not named.lives
    Lock.take(path, patience_s=60).release()  # its other threads may take a moment to end, and have the file until then
    assert owner_of(path) is None
    held.wait()


def test_a_process_of_this_machine_may_be_silent_for_as_long_as_it_likes(tmp_path: Path) -> None:
    path = tmp_path / "owner.lock"
    held = hold(path)
    psutil.Process(held.pid).suspend()
    before = path.read_bytes()
    with pytest.raises(OwnedError, match=str(held.pid)):
        Lock.take(path, patience_s=3 * SOON_S, silence_s=SOON_S)
    assert path.read_bytes() == before
    psutil.Process(held.pid).resume()
    held.communicate()
    Lock.take(path).release()


def test_a_lock_has_a_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "BEAT_S", 0.05)
    monkeypatch.setattr(ownership, "_heartbeat_pid", None)
    with Lock.take(tmp_path / "owner.lock") as lock:
        times = set[int]()
        deadline = time.monotonic() + 60
        while len(times) <= 3:
            assert time.monotonic() < deadline
            times.add(lock.path.stat().st_mtime_ns)
            time.sleep(0.05)


def test_who_lost_its_lock_is_refused_before_it_writes(tmp_path: Path) -> None:
    """As on a laptop that slept for a minute."""
    run = Run.open(tmp_path, "sft-s0", {"seed": 0})
    path = write(run.folder / "owner.lock", elsewhere())
    for attempt in (lambda: run.write("result.json", {}), run.stop_requested, lambda: run.progress(1, 2), run.log):
        with pytest.raises(OwnedError, match=r"no longer this process.*process \d+ on node-7.*what was done is kept"):
            attempt()
    run.close()
    assert Owner(**json.loads(path.read_text())) == elsewhere()  # and does not take the other's away
    assert not (run.folder / "result.json").exists()


# Takes a lock on a file system that grants every flock, all at once with others, and holds it until all have tried.
RACE = """
import sys, time
from pathlib import Path
from gemvg_repro.runs import ownership as locks
locks._flock = lambda *_: True
locks.file_system = lambda folder: "nfs4"
print("ready", flush=True)
start = float(sys.stdin.readline())
while time.time() < start:
    pass
try:
    lock = locks.Lock.take(Path(sys.argv[1]))
    print("taken", flush=True)
    sys.stdin.readline()
    print("mine" if lock.holds else "lost")
except locks.OwnedError:
    print("refused")
"""


def test_of_many_at_once_one_wins_even_without_any_flock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path / "owner.lock")]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(4)
    ]

    def said() -> list[str]:
        return [racer.stdout.readline().strip() for racer in racers if racer.stdout]

    def tell(line: str) -> None:
        for racer in racers:
            with suppress(BrokenPipeError):  # who was refused is gone
                assert racer.stdin is not None
                racer.stdin.write(line)

    assert said() == ["ready"] * 4
    tell(f"{time.time() + 0.2}\n")
    tried = said()
    tell("\n")
    ends = said()
    for racer in racers:
        racer.communicate()
    assert sorted(tried) == ["refused", "refused", "refused", "taken"], tried
    assert sorted(ends) == ["", "", "", "mine"], ends
