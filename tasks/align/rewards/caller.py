"""Rewards as a trainer asks for them: a batch of answers in, one finite number each out, or one error that says why.

A verifiable reward is computed in a worker that is killed at its time limit. A reward model is asked as it is. Nothing
else comes out: a NaN, an exception, a number too few or a hang is a ``RewardError`` that names reward and prompt, so
that the training stops at its last whole step and goes on from there once it is mended.
"""

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from infra.settings import ROOT
from tasks.align.rewards.verifiers import VERIFIERS
from tasks.errors import NightshiftError, RewardError
from tasks.lm.reward import RewardModel
from tasks.phases import MODEL, Phase

SECONDS = 10.0  # a verifier may take for one answer; twice what a sandbox is given
STARTING = 120.0  # what a worker may take for its first answer: it has to import

Conversation = Sequence[dict[str, str]]
Scored = Callable[..., list[float]]  # TRL's form: keyword arguments prompts, completions and the rows' other columns


class Worker:
    """Verifiers in a process of its own, started when it is first needed and again after it was killed."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._fresh, self._rest = True, b""

    def score(self, reward: str, prompt: Any, answer: str, truth: Any) -> float:
        """The reward of one answer.

        Raises:
            RewardError: it raised, is no finite number, or took too long.
        """
        try:
            call = json.dumps({"reward": reward, "answer": answer, "truth": truth}).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise _failed(reward, prompt, f"the truth can't be written as JSON ({error})", _MEND) from error
        said = self._asked(call)
        if said is None:
            raise _failed(reward, prompt, f"it took longer than {self.seconds:g} s on {_short(answer)}", _HANGS)
        if "error" in said:
            raise _failed(reward, prompt, str(said["error"]), str(said.get("do", _MEND)))
        return finite(reward, prompt, said["score"])

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # what was still to be written, nobody is there to read
                pipe.close()
        self._process = None

    def _asked(self, call: bytes) -> dict[str, Any] | None:
        """What the worker says; None, and it is killed, where it takes too long."""
        process = self._started()
        assert process.stdin is not None
        end = time.monotonic() + (max(STARTING, self.seconds) if self._fresh else self.seconds)
        try:
            process.stdin.write(call)
            process.stdin.flush()
            line = self._line(process, end)
        except BrokenPipeError as error:
            self.close()
            raise _ended(process) from error
        except BaseException:  # a person's Ctrl-C too: half an exchange would answer the next call
            self.close()
            raise
        if line is None:
            self.close()
            return None
        self._fresh = False
        return json.loads(line)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            self._fresh, self._rest = True, b""
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tasks.align.rewards.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,  # -m looks there first: the worker is of this checkout
                start_new_session=True,
            )
        return self._process

    def _line(self, process: "subprocess.Popen[bytes]", end: float) -> bytes | None:
        assert process.stdout is not None
        out = process.stdout.fileno()
        while b"\n" not in self._rest:
            if not select.select([out], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            more = os.read(out, 1 << 16)
            if not more:
                raise _ended(process)
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def verifiable(name: str, worker: Worker) -> Scored:
    """A reward of the table, as TRL calls it.

    It reads the rows' column ``truth``: JSON text, because a column of a data set holds one type only.
    """
    needs_truth = VERIFIERS[name].truth

    def scored(
        prompts: list[Any], completions: list[Any], truth: list[str | None] | None = None, **_: Any
    ) -> list[float]:
        truths = [None if one is None else json.loads(one) for one in truth or [None] * len(prompts)]
        if needs_truth:
            _refuse_missing(name, prompts, truths)
        rows = zip(prompts, completions, truths, strict=True)
        return [worker.score(name, prompt, text_of(completion), one) for prompt, completion, one in rows]

    scored.__name__ = name
    return scored


def modelled(name: str, model: RewardModel) -> Scored:
    """A reward model's number, as TRL calls it."""

    def scored(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
        try:
            found = model.rewards(prompts, [text_of(completion) for completion in completions])
        except NightshiftError:
            raise
        except Exception as error:
            raise _failed(name, prompts[0], f"{type(error).__name__}: {error}", _MEND) from error
        return checked(name, prompts, found)

    scored.__name__ = name
    return scored


def scored_by(phase: Phase, model: RewardModel | None, worker: Worker) -> list[Scored]:
    """The phase's rewards, in their order.

    Args:
        model: of the reward "model", where it is one of them.
    """
    found = []
    for name in phase.reward:
        if name != MODEL:
            found.append(verifiable(name, worker))
        else:
            assert model is not None, "whoever builds a training loads it first"
            found.append(modelled(name, model))
    return found


def checked(name: str, prompts: Sequence[Any], scores: Sequence[Any]) -> list[float]:
    """As many finite numbers as there are prompts.

    Raises:
        RewardError: there are not.
    """
    if len(scores) != len(prompts):
        raise RewardError(f"the reward {name!r} gave {len(scores)} numbers for {len(prompts)} answers", do=_MEND)
    return [finite(name, prompt, score) for prompt, score in zip(prompts, scores, strict=True)]


def finite(name: str, prompt: Any, score: Any) -> float:
    """The score, if it is a finite number.

    Raises:
        RewardError: it is not.
    """
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise _failed(name, prompt, f"it is {score!r}, no finite number", _MEND)
    return float(score)


def text_of(completion: Any) -> str:
    """The answer's text, of a conversation's one message or of plain text."""
    return completion if isinstance(completion, str) else completion[0]["content"]


_MEND = "mend the reward, or the truth of that row, and run again: the training goes on from its last whole step"
_HANGS = "simplify the reward's pattern, schema or tests for that row, and run again: the training goes on from there"


def _refuse_missing(name: str, prompts: list[Any], truths: list[Any]) -> None:
    for prompt, truth in zip(prompts, truths, strict=True):
        if truth is None:
            raise _failed(name, prompt, "it compares with a truth, and the row has none", _NO_TRUTH)


_NO_TRUTH = "give each row a `truth`, or choose a reward that needs none: " + ", ".join(
    name for name, one in VERIFIERS.items() if not one.truth
)


def _ended(process: "subprocess.Popen[bytes]") -> RewardError:
    return RewardError(
        f"the rewards' worker ended by itself (exit code {process.wait()})",
        do="read the program's output above (out of memory?), and run again: the training goes on from its last step",
    )


def _failed(name: str, prompt: Any, why: str, do: str) -> RewardError:
    return RewardError(f"the reward {name!r} can't be given to an answer to {_short(prompt)}: {why}", do=do)


def _short(prompt: Any) -> str:
    text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    return repr(text if len(text) <= 80 else text[:79] + "…")
