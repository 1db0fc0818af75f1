"""A program for tests of pools, which ends as its spec says: ``python -m tests.pool_program SPEC RESULT``.

``succeed`` · ``fail`` (exit code 3) · ``wait`` (until a file ``go-on`` beside the spec, or a signal: then it keeps a
checkpoint and ends with 1) · ``together`` (under torchrun; the result says how many processes there were).
"""

import json
import signal
import sys
import time
from pathlib import Path

from infra.settings import launched_processes


def main(spec: str, result: str) -> int:
    how, folder = json.loads(Path(spec).read_text())["how"], Path(spec).parent
    print(f"asked to {how}", flush=True)
    if how == "fail":
        print("it broke on purpose", flush=True)
        return 3
    if how == "wait":
        return _wait(folder, Path(result))
    done = {"done": True} | ({"world": launched_processes()} if how == "together" else {})
    Path(result).write_text(json.dumps(done))  # of several processes each writes the same
    return 0


def _wait(folder: Path, result: Path) -> int:
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    (folder / "running").write_text("")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if asked:
            (folder / "checkpoint").write_text("kept")
            return 1
        if (folder / "go-on").exists():
            result.write_text(json.dumps({"done": True}))
            return 0
        time.sleep(0.05)
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
