"""What a job of several nodes runs on each: torchrun, under a parent that hands signals on and keeps its input open.

On Slurm every node runs it, by srun; on Kubernetes every pod but the first, which has the job program instead.
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.launch import Launch
from infra.launcher import node_command, pod_command
from infra.settings import job_environment, launch_address, meeting


def main(launch_path: str) -> int:
    launch = Launch.model_validate_json(Path(launch_path).read_text())
    process: subprocess.Popen[bytes] | None = None
    asked = False

    def receive(*_: Any) -> None:
        nonlocal asked
        asked = True
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)  # torchrun hands it on to its processes

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, receive)
    place = meeting()
    process = subprocess.Popen(
        pod_command(launch, place) if place else node_command(launch, launch_address()),
        cwd=launch.root,
        env=job_environment(launch.variables, launch.root),
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    if asked:
        receive()
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
