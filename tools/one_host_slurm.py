"""A real Slurm on this one host: how is it brought up in a second, and taken down?

    python -m tools.one_host_slurm up       installs Debian's packages if they are missing (root), starts everything
    eval "$(python -m tools.one_host_slurm env)"
    python -m tools.one_host_slurm down     ends all jobs and daemons, removes the folder

Three virtual nodes of 8 pretended CPUs and 8 pretended GPUs; partitions `main` (the default; its jobs are
preempted with 20 s of grace), `cheap` (cancelled at once instead) and `urgent`. Everything is in one folder and
listens on loopback only; systemd is not needed. There is no accounting unless asked for: it takes a database.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
ACCOUNTING = ("slurmdbd", "mariadb-server-core", "mariadb-client-core")
INSTALL = "apt-get install -y --no-install-recommends"
NODES = ("n1", "n2", "n3")
CPUS = 8
GPUS = 8

# cred_expire: a requeued job waits until its old credential has expired, 120 s by default.
# DefMemPerCPU: without it a job that asks for no memory gets a whole node's.
_CONF = """
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0,requeue_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
GresTypes=gpu
DefMemPerCPU=100
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=5
OverTimeLimit=0
InactiveLimit=0
MessageTimeout=10
SlurmctldTimeout=30
SlurmdTimeout=10
BatchStartTimeout=10
CompleteWait=0
MaxArraySize={array}
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
{accounting}
{nodes}
PartitionName=main Nodes=ALL Default=YES DefaultTime=10 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=cheap Nodes=ALL PriorityTier=1 PreemptMode=CANCEL
PartitionName=urgent Nodes=ALL MaxTime=1:00:00 PriorityTier=10 PreemptMode=OFF
"""

# The controller remembers what has ended for an hour; with accounting it forgets it as soon as it can.
_WITHOUT_ACCOUNTING = "AccountingStorageType=accounting_storage/none\nMinJobAge=3600"
_WITH_ACCOUNTING = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
MinJobAge=2"""
_DATABASE_DAEMON = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounts
"""


@dataclass(frozen=True)
class Cluster:
    """The cluster whose files are in `folder`."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment for sbatch and the rest to find this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def up(self, array: int = 1001, accounting: bool = False, name: str = "lab") -> None:
        """Starts all daemons and waits for the nodes; raises RuntimeError with the log's end otherwise.

        `array` is MaxArraySize, `name` the cluster's.
        """
        (port,) = _free_ports(1)
        kept = _WITH_ACCOUNTING.format(port=port, folder=self.folder) if accounting else _WITHOUT_ACCOUNTING
        self._configure(array, kept, name)
        self._munge()
        if accounting:
            self._account(port)
        self.start("slurmctld")
        for node in NODES:
            self.start("slurmd", "-N", node)
        self.until_idle()

    def until_idle(self) -> None:
        """Waits until all nodes have registered with the controller; before, Slurm takes no job for them."""
        self._until(
            "the nodes are idle", lambda: self.ask("sinfo", "-h", "-N", "-p", "main", "-t", "idle").count("n") >= 3
        )

    def start(self, *command: str) -> None:
        """Starts one daemon, such as `slurmd -N n1`."""
        done = self._run(*command)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} did not start:\n{done.stdout}{done.stderr}{self._logs()}")

    def kill(self, daemon: str) -> None:
        """kill -9 of `slurmctld` or `slurmd.n1`; the steps of jobs live on."""
        process = psutil.Process(int((self.folder / f"{daemon}.pid").read_text()))
        process.kill()
        psutil.wait_procs([process], timeout=5)

    def ask(self, *command: str) -> str:
        """What a Slurm command prints."""
        done = self._run(*command)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def down(self) -> None:
        """Ends every process of the cluster, jobs included, and removes its folder."""
        me = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
        for attempt in range(3):  # what was just being forked is found the second time
            left = [p for p in psutil.process_iter() if p.pid not in me and self._is_of_it(p)]
            for process in left:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            psutil.wait_procs(left, timeout=5)
            if not left and attempt:
                break
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_of_it(self, process: psutil.Process) -> bool:
        """By the environment of what a job runs; by the working folder of daemons, whose titles overwrite theirs."""
        try:
            return (
                process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]
                or Path(process.cwd()) == self.folder
                or f"--socket={self.folder}/munge.socket" in process.cmdline()
            )
        except psutil.Error:
            return False

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    def _account(self, port: int) -> None:
        """Starts a database of its own, reached by a socket only, and the daemon that keeps the accounts in it."""
        data, socket_file = self.folder / "database", self.folder / "database.socket"
        self.start("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root", "--skip-test-db")
        options = [f"--datadir={data}", f"--socket={socket_file}", "--user=root", "--skip-networking"]
        log = (self.folder / "database.log").open("wb")
        environment = os.environ | self.environment
        subprocess.Popen(
            ["mariadbd", "--no-defaults", *options], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        self._until("the database answers", socket_file.exists)
        conf = self.folder / "slurmdbd.conf"
        conf.write_text(_DATABASE_DAEMON.format(folder=self.folder, host=platform.node().split(".")[0], port=port))
        conf.chmod(0o600)
        self.start("env", f"MYSQL_UNIX_PORT={socket_file}", "slurmdbd")
        self._until("the accounts are open", lambda: self.ask("sacctmgr", "-i", "add", "cluster", "lab"))

    def _configure(self, array: int, accounting: str, name: str) -> None:
        for folder in ("state", *(f"spool.{node}" for node in NODES)):
            (self.folder / folder).mkdir(parents=True)
        port, *ports = _free_ports(1 + len(NODES))
        host = platform.node().split(".")[0]
        for gpu in range(GPUS):
            os.mknod(self.folder / f"gpu{gpu}", stat.S_IFCHR | 0o600, os.makedev(4, gpu + 1))  # never opened
        (self.folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={self.folder}/gpu[0-{GPUS - 1}]\n")
        (self.folder / "cgroup.conf").write_text(
            "CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\nConstrainDevices=no\n"
        )
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={p} CPUs={CPUS} Boards=1 SocketsPerBoard=1"
            f" CoresPerSocket={CPUS} ThreadsPerCore=1 RealMemory=16000 Gres=gpu:{GPUS} Feature=h200 State=UNKNOWN"
            for node, p in zip(NODES, ports, strict=True)
        )
        conf = _CONF.format(
            host=host, port=port, folder=self.folder, nodes=nodes, array=array, accounting=accounting, name=name
        )
        (self.folder / "slurm.conf").write_text(conf)

    def _munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        named = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
        self.start(
            "munged", "--force", "--num-threads=2", *(f"--{k}={self.folder}/munge.{v}" for k, v in named.items())
        )

    def _until(self, what: str, true: object, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if true():  # type: ignore[operator]
                    return
            except RuntimeError:
                pass  # the controller does not answer yet
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {seconds} s until {what}:\n{self._logs()}")
            time.sleep(0.05)

    def _logs(self) -> str:
        return "\n".join(f"{log.name}:\n{log.read_text()[-1500:]}" for log in sorted(self.folder.glob("*.log")))


def missing(accounting: bool = False) -> str:
    """Why no cluster can be brought up here, and the command that changes it; empty when it can."""
    if os.geteuid() != 0:
        return "a one-host Slurm needs root"
    if any(shutil.which(program) is None for program in ("slurmctld", "slurmd", "sbatch", "srun", "munged")):
        return f"Slurm is not installed: {INSTALL} {' '.join(PACKAGES)}"
    if accounting and any(shutil.which(program) is None for program in ("slurmdbd", "mariadbd")):
        return f"Slurm's accounting is not installed: {INSTALL} {' '.join(ACCOUNTING)}"
    return ""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.one_host_slurm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["up", "env", "down"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "one_host_slurm")
    options = parser.parse_args()
    cluster = Cluster(options.folder)
    if options.what == "up":
        if missing().startswith("Slurm"):
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            subprocess.run(
                [*INSTALL.split(), *PACKAGES], check=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            )
        if problem := missing():
            sys.exit(problem)
        cluster.down()
        cluster.up()
    elif options.what == "down":
        cluster.down()
    for name, value in cluster.environment.items():
        print(f"export {name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
