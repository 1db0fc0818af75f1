"""A real Slurm on this machine, from Debian's packages: controller, accounting on MariaDB, slurmd's, fake GPUs.

The GPUs are character devices that do nothing (GRES type ``mi355x``): scheduling, accounting, signals, requeues and
node failures are Slurm's own; nothing computes on an AMD accelerator here. Needs root. Everything lies in one folder.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

PROGRAMS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
GPUS = 4  # of a node


class Cluster(NamedTuple):
    folder: Path
    nodes: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def command(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def stop_node(self, node: str) -> None:
        """Kill a node's slurmd and all it runs, as when its power fails: first what could still report an end."""
        jobs = [one for one in psutil.process_iter() if _runs_on(one, node)]
        keepers = {parent for one in jobs for parent in _parents(one) if parent.name() == "slurmstepd"}
        daemon = psutil.Process(int((self.folder / f"slurmd-{node}.pid").read_text()))
        for process in [daemon, *keepers, *jobs]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def start_node(self, node: str) -> None:
        subprocess.run(
            [_program("slurmd"), "-N", node, "-f", str(self.folder / "slurm.conf")],
            check=True,
            env={**os.environ, **self.environment},
        )


def _runs_on(process: psutil.Process, node: str) -> bool:
    try:
        return process.environ().get("SLURMD_NODENAME") == node
    except psutil.Error:
        return False


def _parents(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.parents()
    except psutil.Error:
        return []


def missing() -> list[str]:
    """Programs that are not installed."""
    return [name for name in PROGRAMS if _found(name) is None]


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _program(name: str) -> str:
    found = _found(name)
    assert found is not None, name
    return found


@contextmanager
def cluster(folder: Path, nodes: int = 3) -> Iterator[Cluster]:
    """A cluster that takes jobs; all of its processes are gone afterwards."""
    names = tuple(f"n{number}" for number in range(1, nodes + 1))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    with ExitStack() as stack:
        ports = _free_ports(3 + nodes)
        _munge(folder, stack)
        _mariadb(folder, stack, ports[2])
        _configure(folder, names, ports)
        made = Cluster(folder, names)
        stack.callback(_end_all, folder)
        _daemon(made, ports[0], "slurmdbd")
        _accounts(made)
        _daemon(made, ports[1], "slurmctld", "-f", str(folder / "slurm.conf"), "-c")
        for name in names:
            made.start_node(name)
        _wait(lambda: made.command("sinfo", "-h", "-N", "-o", "%T").split().count("idle") == nodes, "slurmd", folder)
        yield made


def _daemon(made: Cluster, port: int, name: str, *options: str) -> None:
    with (made.folder / f"{name}.out").open("w") as log:
        subprocess.Popen(
            [_program(name), "-D", *options], env={**os.environ, **made.environment}, stdout=log, stderr=log
        )
    _wait(lambda: _listens(port), name, made.folder)


def _accounts(made: Cluster) -> None:
    """An account and two qualities of service: jobs of ``high`` push out those of ``low``, which are requeued."""
    for words in (
        "add cluster test",
        "add account nightshift Description=nights Organization=us",
        "add user root Account=nightshift",
        "add qos low Priority=1",
        "add qos high Priority=1000 Preempt=low PreemptMode=requeue",
        "modify user root set qos+=low,high",
    ):
        made.command("sacctmgr", "-i", *words.split())


def _munge(folder: Path, stack: ExitStack) -> None:
    place = folder / "munge"
    place.mkdir()
    key = place / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    log = (folder / "munged.out").open("w")
    process = subprocess.Popen(
        [_program("munged"), "--foreground", "--force", f"--socket={place}/socket", f"--key-file={key}",
         f"--pid-file={place}/pid", f"--log-file={place}/log", f"--seed-file={place}/seed"],
        stdout=log, stderr=log,
    )  # fmt: skip
    stack.callback(_end, process)
    _wait((place / "socket").exists, "munged", folder)


def _mariadb(folder: Path, stack: ExitStack, port: int) -> None:
    data, sock = folder / "mariadb", folder / "mariadb.sock"
    log = (folder / "mariadb.out").open("w")
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
         "--auth-root-authentication-method=normal"],
        stdout=log, stderr=log, check=True,
    )  # fmt: skip
    process = subprocess.Popen(
        [_program("mariadbd"), "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={sock}",
         "--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve",
         f"--pid-file={folder}/mariadb.pid", "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=2"],
        stdout=log, stderr=log,
    )  # fmt: skip
    stack.callback(_end, process)
    _wait(lambda: _sql(sock, "select 1"), "mariadbd", folder)
    _sql(sock, "create database slurm; create user slurm@'127.0.0.1'; grant all on slurm.* to slurm@'127.0.0.1'")


def _sql(sock: Path, text: str) -> bool:
    done = subprocess.run(
        ["mariadb", "--no-defaults", "--user=root", f"--socket={sock}", "-e", text], capture_output=True, check=False
    )
    return done.returncode == 0


def _configure(folder: Path, nodes: tuple[str, ...], ports: list[int]) -> None:
    socket_ = f"{folder}/munge/socket"
    (folder / "slurmdbd.conf").write_text(
        f"AuthType=auth/munge\nAuthInfo=socket={socket_}\nDbdHost=localhost\nDbdPort={ports[0]}\nSlurmUser=root\n"
        f"StorageType=accounting_storage/mysql\nStorageLoc=slurm\nStorageUser=slurm\nStorageHost=127.0.0.1\n"
        f"StoragePort={ports[2]}\n"
        f"LogFile={folder}/slurmdbd.log\nPidFile={folder}/slurmdbd.pid\nDebugLevel=info\n"
    )
    (folder / "slurmdbd.conf").chmod(0o600)
    devices = folder / "devices"
    devices.mkdir()
    lines = []
    for node in nodes:
        for number in range(GPUS):
            device = devices / f"{node}-{number}"
            subprocess.run(["mknod", str(device), "c", "1", "3"], check=True)  # a second /dev/null: it does nothing
            lines.append(f"NodeName={node} Name=gpu Type=mi355x File={device}")
    (folder / "gres.conf").write_text("\n".join(lines) + "\n")
    node_lines = [
        f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=16 RealMemory=4000 "
        f"Gres=gpu:mi355x:{GPUS}"
        for node, port in zip(nodes, ports[3:], strict=True)
    ]
    (folder / "slurm.conf").write_text(
        "\n".join(
            [
                "ClusterName=test", "SlurmctldHost=localhost(127.0.0.1)", f"SlurmctldPort={ports[1]}", "SlurmUser=root",
                "AuthType=auth/munge", f"AuthInfo=socket={socket_},cred_expire=5", "CredType=cred/munge",
                "CryptoType=crypto/munge",
                f"StateSaveLocation={folder}/state", f"SlurmdSpoolDir={folder}/spool-%n",
                f"SlurmctldLogFile={folder}/slurmctld.log", f"SlurmdLogFile={folder}/slurmd-%n.log",
                f"SlurmctldPidFile={folder}/slurmctld.pid", f"SlurmdPidFile={folder}/slurmd-%n.pid",
                "ProctrackType=proctrack/pgid", "TaskPlugin=task/none", "SwitchType=switch/none", "MpiDefault=none",
                "SchedulerType=sched/backfill", "SelectType=select/cons_tres", "SelectTypeParameters=CR_CPU",
                "GresTypes=gpu", "AccountingStorageType=accounting_storage/slurmdbd", "AccountingStorageHost=localhost",
                f"AccountingStoragePort={ports[0]}", f"AccountingStoragePass={socket_}",
                "AccountingStorageTRES=gres/gpu,gres/gpu:mi355x",
                "AccountingStorageEnforce=associations,qos,limits",
                "JobAcctGatherType=jobacct_gather/linux", "JobRequeue=1",
                "PreemptType=preempt/qos", "PreemptMode=REQUEUE",
                "PriorityType=priority/multifactor", "PriorityWeightQOS=1000",
                "ReturnToService=2", "SlurmdTimeout=15", "SlurmctldTimeout=15", "KillWait=10", "MinJobAge=120",
                "InactiveLimit=0", "MaxJobCount=2000",
                "SchedulerParameters=batch_sched_delay=0,bf_interval=5,sched_interval=5",
                "SlurmdParameters=config_overrides", "OverTimeLimit=0",
                *node_lines,
                f"PartitionName=gpu Nodes={','.join(nodes)} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO",
                "",
            ]
        )
    )  # fmt: skip
    (folder / "state").mkdir()
    for node in nodes:
        (folder / f"spool-{node}").mkdir()


def _free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(asked: Callable[[], bool], what: str, folder: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if asked():
            return
        time.sleep(0.2)
    logs = "\n".join(
        f"--- {path.name}\n{path.read_text()[-1500:]}"
        for path in sorted(folder.glob("*.out")) + sorted(folder.glob("*.log"))
    )
    raise RuntimeError(f"{what} does not answer after {seconds:.0f} s\n{logs}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_all(folder: Path) -> None:
    """End every process that carries the cluster's configuration, jobs too."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in psutil.process_iter():
            if _of(process, folder) and process.pid != os.getpid():
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        time.sleep(2)


def _of(process: psutil.Process, folder: Path) -> bool:
    mark = f"{folder}/slurm.conf"
    try:
        return process.environ().get("SLURM_CONF") == mark or mark in process.cmdline()
    except psutil.Error:
        return False
