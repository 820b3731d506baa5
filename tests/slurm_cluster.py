"""A real Slurm of one node in a folder of its own: started by hand, asked for its state, stopped by process id.

It needs no systemd and touches nothing outside its folder: its own key and socket for munge, its own slurm.conf, free
ports on the loopback address. Only the programs of Debian's `slurm-wlm` and `munge` must be there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "scancel", "scontrol", "setpriv", "sinfo", "squeue", "srun")
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
"""Daemons lie where only root looks by default."""

PATIENCE = 180.0
"""Seconds until something that takes one or two is given up."""
INTERVAL = 0.05

# The scheduler looks at new jobs at once. A cancelled or late job gets one second between SIGTERM and SIGKILL (Slurm
# makes five or more of it). `config_overrides`: as many tasks run at a time as a test asks for, on any machine.
CONFIGURATION = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
KillWait=1
DefMemPerCPU=100
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
PartitionName=other Nodes=ALL State=UP
"""


def wait_until(ready: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Ask again and again until the answer is yes.

    Raises:
        TimeoutError: it did not become so in time.
    """
    deadline = time.monotonic() + patience
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {patience:g} s still not so: {what}")
        time.sleep(INTERVAL)


@dataclass(frozen=True)
class Slurm:
    """What a test does with the cluster."""

    folder: Path
    environment: Mapping[str, str]
    """Enough to reach it, from any process."""

    def ask(self, *command: str) -> str:
        """Run one of Slurm's commands; its answer."""
        return subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        ).stdout

    def states(self, job: str | None = None) -> dict[str, str]:
        """The state of every task that the controller remembers, of all arrays or of one: `7_0` -> `RUNNING`."""
        lines = self.ask("squeue", "--noheader", "--array", "--states=all", "--format=%i %T").splitlines()
        states = dict(line.split() for line in lines)
        return {task: state for task, state in states.items() if job is None or task.split("_")[0] == job}

    def wait_for(self, task: str, *states: str, patience: float = PATIENCE) -> None:
        """Wait until a task is in one of some states."""
        wait_until(lambda: self.states().get(task) in states, f"task {task} is {' or '.join(states)}", patience)

    def time_out(self, task: str) -> None:
        """Let a running task reach its time limit now; the controller looks every 30 s, and ends it with TIMEOUT.

        A limit given to sbatch has a resolution of a minute, an end time has one of a second.
        """
        self.wait_for(task, "RUNNING")
        end = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 2))
        self.ask("scontrol", "update", f"JobId={task}", f"EndTime={end}")


def _program(name: str) -> str | None:
    return shutil.which(name, path=SEARCH_PATH)


def missing_programs() -> list[str]:
    """Which of Slurm's programs are not on this machine."""
    return [name for name in (*DAEMONS, *CLIENTS) if _program(name) is None]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _configure(folder: Path, cpus: int, memory_mb: int) -> dict[str, str]:
    (folder / "controller").mkdir()
    (folder / "node").mkdir()
    (folder / "key").touch(mode=0o600)
    (folder / "key").write_bytes(os.urandom(1024))
    controller_port, node_port = _free_ports(2)
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname().split(".")[0],
            user=pwd.getpwuid(os.getuid()).pw_name,
            cpus=cpus,
            memory_mb=memory_mb,
            controller_port=controller_port,
            node_port=node_port,
        )
    )
    return {"SLURM_CONF": str(folder / "slurm.conf")}


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _daemon(folder: Path, environment: Mapping[str, str], name: str, *arguments: str) -> Iterator[Callable[[], bool]]:
    """One daemon in the foreground; yields a check that it still runs, for the waits."""
    said = folder / f"{name}.log"
    ends_with_us = [str(_program("setpriv")), "--pdeathsig=KILL"]  # even when the test is killed
    with said.open("wb") as log:
        process = subprocess.Popen(
            [*ends_with_us, str(_program(name)), *arguments],
            env={**os.environ, "PATH": SEARCH_PATH, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in a terminal ends the test, which then ends the daemons in their order
        )

    def runs() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode}:\n{said.read_text(errors='replace')[-2000:]}")
        return True

    try:
        yield runs
    finally:
        _stop(process)


def _left_over(folder: Path) -> list[int]:
    """Other processes that were started with this cluster's slurm.conf: daemons, and jobs, which outlive them."""
    mark = os.fsencode(f"SLURM_CONF={folder}/slurm.conf")
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = entry.read_bytes().split(b"\0")
        except OSError:  # gone, or somebody else's
            continue
        if mark in environment and int(entry.parent.name) != os.getpid():
            found.append(int(entry.parent.name))
    return found


def _end_left_over(folder: Path) -> None:
    def none_left() -> bool:
        left = _left_over(folder)
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not left

    wait_until(none_left, "all processes of the cluster have ended")


@contextmanager
def slurm_cluster(cpus: int = 4, memory_mb: int = 4000) -> Iterator[Slurm]:
    """A running cluster with an idle node and the partitions `main` and `other`; nothing of it is left afterwards."""
    # not below pytest's folder: munge's socket must be reachable by all, and its path be shorter than 108 characters
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        environment = _configure(folder, cpus, memory_mb)
        slurm = Slurm(folder, environment)
        stack.callback(_end_left_over, folder)
        munge_files = [f"--{what}-file={folder}/munge.{what}" for what in ("pid", "log", "seed")]
        munge = ["--foreground", f"--key-file={folder}/key", f"--socket={folder}/munge.socket", *munge_files]
        munge_runs = stack.enter_context(_daemon(folder, environment, "munged", *munge))
        wait_until(lambda: munge_runs() and (folder / "munge.socket").exists(), "munged has made its socket")
        controller_runs = stack.enter_context(_daemon(folder, environment, "slurmctld", "-D"))
        node_runs = stack.enter_context(_daemon(folder, environment, "slurmd", "-D"))

        def idle() -> bool:
            controller_runs(), node_runs()
            try:
                return "idle" in slurm.ask("sinfo", "--noheader", "--format=%T").split()
            except subprocess.SubprocessError:  # the controller does not listen yet
                return False

        wait_until(idle, "the node is idle")
        yield slurm


def main(command: Sequence[str]) -> int:
    """Run a command beside a cluster, to try things by hand: `python tests/slurm_cluster.py squeue`."""
    with slurm_cluster() as cluster:
        return subprocess.run(command, env={**os.environ, **cluster.environment}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
