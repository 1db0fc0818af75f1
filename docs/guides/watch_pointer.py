"""Keep one server running on what a pointer says: started again whenever the pointer moves, or the server ends.

python watch_pointer.py /srv/pointers/pointer.json -- vllm serve {artefact} --served-model-name {served_name}

Needs nothing but Python, so that it can be copied into a server's image. The artefact must be a path the server sees.
"""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

STOP_SECONDS = 60


def read(path: Path) -> dict[str, str] | None:
    """The pointer, or None where there is none yet. It is written whole: half of one is worth stopping at."""
    try:
        pointer = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    if pointer["form"] != "nightshift/pointer/1":
        raise SystemExit(f"{path} has the form {pointer['form']}, which this script doesn't know")
    name = f"{pointer['name']}-{pointer['version']}-{pointer['model'].removeprefix('sha256:')[:12]}"
    return {"artefact": pointer["artefact"], "served_name": name}


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def watch(path: Path, command: list[str], pause: float = 1.0) -> None:
    wanted: dict[str, str] | None = None
    process: subprocess.Popen[bytes] | None = None
    try:
        while True:
            now = read(path)
            ended = process is not None and process.poll() is not None
            if now is not None and (now != wanted or ended):
                if process is not None and not ended:
                    stop(process)
                wanted = now
                filled = [part.format(**now) for part in command]
                print("starting:", shlex.join(filled), flush=True)
                process = subprocess.Popen(filled)
            time.sleep(pause)
    finally:
        if process is not None and process.poll() is None:
            stop(process)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cut = sys.argv.index("--")
    watch(Path(sys.argv[1]), sys.argv[cut + 1 :])
