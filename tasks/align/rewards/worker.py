"""Program: compute verifiable rewards, one line a call. ``python -m tasks.align.rewards.worker``.

A process of its own, because a regular expression or a schema can take for ever on one unlucky answer, and nothing
inside a process can end that for sure. Told a JSON line {reward, answer, truth}, it says {score} or {error}.
"""

import ctypes
import json
import signal
import sys

from tasks.align.rewards.verifiers import VERIFIERS
from tasks.errors import RewardError


def main() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: a killed trainer leaves no worker
    for line in sys.stdin:
        print(json.dumps(_said(json.loads(line))), flush=True)


def _said(call: dict[str, str]) -> dict[str, float | str]:
    try:
        return {"score": VERIFIERS[call["reward"]].score(call["answer"], call["truth"])}
    except RewardError as error:
        return {"error": error.what, "do": error.do}
    except Exception as error:  # noqa: BLE001  whatever it is, the caller tells it with reward and prompt
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
