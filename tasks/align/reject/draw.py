"""Rejection sampling: answers are drawn to tonight's prompts, round by round, until enough are worth training on."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from infra.events import emit
from infra.jsonl import dump_lines
from tasks.align.health import Stop
from tasks.align.reject.choose import Answer, Choice, choose, rows_of
from tasks.align.reject.kept import Round, add_round, read_rounds
from tasks.align.rewards.caller import Scored, checked
from tasks.align.trainer import Interrupted
from tasks.align.watch import Unhealthy
from tasks.errors import ModelError
from tasks.phases import Phase

ROUND = 128  # answers drawn between two looks at whether they suffice; what a kill loses at most

Row = dict[str, Any]  # id, prompt and truth (tasks.align.online.build.rows_of)
Draw = Callable[[int, Sequence[Row]], list[list[tuple[str, int, bool]]]]  # of a round: text, tokens, whether it ended


class Drawn(NamedTuple):
    """What came of it: training rows; all prompts that were drawn for, with answers, rewards and what was kept of
    them; and the counts that a person is told."""

    rows: list[Row]
    prompts: list[Row]
    told: dict[str, float]


def draw_rows(
    rows: Sequence[Row],
    target: int,
    phase: Phase,
    draw: Draw,
    rewards: Sequence[tuple[str, Scored]],
    where: tuple[Path, str],
    asked_to_end: Callable[[], bool],
) -> Drawn:
    """Draw until ``target`` training rows are found or all prompts have been drawn for.

    Args:
        rows: prompts, in the order they are drawn for.
        where: the file that keeps the rounds, and the digest of this training's course.

    Raises:
        Interrupted: it was asked to end; the rounds are kept.
        Unhealthy: for many rounds in a row, or after all, there is nothing to train on.
        ModelError: there isn't one batch.
        RewardError: an answer can't be rewarded.
    """
    size = max(1, ROUND // phase.group_size)
    rounds = [rows[begin : begin + size] for begin in range(0, len(rows), size)]
    earlier = read_rounds(*where)
    found = Tally(phase)
    for number, prompts in enumerate(rounds):
        if len(found.rows) >= target:
            break
        if number < len(earlier):
            answers = earlier[number]
        else:
            if asked_to_end():
                raise Interrupted(f"the answers to {len(found.prompts)} of {len(rows)} prompts are kept")
            answers = rewarded(prompts, draw(number, prompts), phase, rewards)
            add_round(*where, answers)
        found.add(prompts, answers)
        emit("progress", done=len(found.prompts), total=len(rows), what=found.sentence(target))
        if found.empty >= phase.health.no_signal_window:
            raise Unhealthy(found.stop(f"in the last {found.empty} rounds (limit {found.empty})"))
    if not found.rows:
        raise Unhealthy(found.stop(f"of all {len(found.prompts)} prompts"))
    if len(found.rows) < phase.batch_size:
        raise ModelError(
            f"{len(found.rows)} rows are left of {len(found.prompts)} prompts, fewer than one batch of "
            f"{phase.batch_size} (phase.batch_size): {found.reasons()}",
            do=found.remedy(),
        )
    return Drawn(found.rows[:target], found.prompts, found.told())


def rewarded(
    prompts: Sequence[Row],
    drawn: list[list[tuple[str, int, bool]]],
    phase: Phase,
    rewards: Sequence[tuple[str, Scored]],
) -> Round:
    """A round's answers with what they earn."""
    asked = [row["prompt"] for row, answers in zip(prompts, drawn, strict=True) for _ in answers]
    truths = [row["truth"] for row, answers in zip(prompts, drawn, strict=True) for _ in answers]
    flat = [answer for answers in drawn for answer in answers]
    said = [[{"role": "assistant", "content": text}] for text, _, _ in flat]
    columns = {
        name: checked(name, asked, scored(prompts=asked, completions=said, truth=truths)) for name, scored in rewards
    }
    weights = dict(zip(columns, phase.reward_weights or [1.0] * len(columns), strict=True))
    found = []
    for place, (text, tokens, ended) in enumerate(flat):
        each = {name: column[place] for name, column in columns.items()}
        total = sum(weights[name] * reward for name, reward in each.items())
        found.append(Answer(text=text, tokens=tokens, ended=ended, reward=total, rewards=each))
    return [found[begin : begin + phase.group_size] for begin in range(0, len(found), phase.group_size)]


class Tally:
    """What was drawn and kept so far. ``empty``: rounds in a row of which nothing was kept."""

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self.rows: list[Row] = []
        self.prompts: list[Row] = []
        self.empty = 0
        self._why: Counter[str] = Counter()
        self._near_equal = self._answers = self._tokens = 0
        self._sum = self._best = 0.0

    def add(self, prompts: Sequence[Row], answers: Round) -> None:
        before = len(self.rows)
        for row, drawn in zip(prompts, answers, strict=True):
            choice = choose(drawn, self.phase)
            self.rows += rows_of(row, drawn, choice)
            self.prompts.append(_written(row, drawn, choice))
            self._why[choice.why] += 1
            self._near_equal += choice.near_equal
            self._answers += len(drawn)
            self._tokens += sum(answer.tokens for answer in drawn)
            self._sum += sum(answer.reward for answer in drawn)
            self._best += max(answer.reward for answer in drawn)
        self.empty = self.empty + 1 if len(self.rows) == before else 0

    def told(self) -> dict[str, float]:
        """Counts, and the mean reward of all answers and of each prompt's best."""
        return {
            "drawn_prompts": len(self.prompts),
            "drawn_answers": self._answers,
            "drawn_tokens": self._tokens,
            "drawn_rows": len(self.rows),
            "drawn_no_signal": self._why["no signal"],
            "drawn_unfinished": self._why["unfinished"],
            "drawn_near_equal": self._near_equal,
            "drawn_reward": self._sum / max(self._answers, 1),
            "drawn_best_reward": self._best / max(len(self.prompts), 1),
        }

    def sentence(self, target: int) -> str:
        """For the live progress."""
        told = self.told()
        return (
            f"prompts drawn for: {len(self.rows)} of {target} rows found, {self.reasons()}; mean reward "
            f"{told['drawn_reward']:.3g}, of the best {told['drawn_best_reward']:.3g}"
        )

    def reasons(self) -> str:
        return f"{self._why['no signal']} without signal, {self._why['unfinished']} whose better answers don't end"

    def stop(self, where: str) -> Stop:
        """Nothing can be trained on."""
        mean = self.told()["drawn_reward"]
        return Stop(
            name="no_signal",
            step=0,
            what=f"{where} no answers can be trained on: {self.reasons()}; all earned {mean:.3g} on average",
            do=self.remedy(),
        )

    def remedy(self) -> str:
        """By what was most of it."""
        if self._why["unfinished"] > self._why["no signal"]:
            return f"raise phase.max_new_tokens ({self.phase.max_new_tokens}): most better answers are cut off there"
        return (
            "choose a phase.reward that tells this model's answers apart, or raise phase.temperature or "
            "phase.group_size, or bring more prompts"
        )


def _written(row: Row, answers: Sequence[Answer], choice: Choice) -> Row:
    """A prompt's line of ``drawn.jsonl``."""
    better = {one for one, _ in choice.kept}
    worse = {other for _, other in choice.kept}
    marks = ["chosen" if n in better else "rejected" if n in worse else None for n in range(len(answers))]
    return {
        "id": row["id"],
        "why": choice.why,
        "near_equal": choice.near_equal,
        "answers": [answer.model_dump() | {"kept": mark} for answer, mark in zip(answers, marks, strict=True)],
    }


def write_drawn(drawn: Drawn, file: Path) -> None:
    """All that was drawn, a prompt a line, beside what the training leaves."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(dump_lines(drawn.prompts))
