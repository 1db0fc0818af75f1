"""inspect_ai's logs (``.eval`` or ``.json``): their samples as a suite, and a finished run's results, item by item.

A log has the prompts as they were sent. Its results are bound to the model's name and to the file's digest, so that
two models' runs of one task can be compared pair by pair, and nothing else can.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from infra.digest import Digest, Record, digest_file
from tasks.errors import SuiteError
from tasks.gate.foreign.inspect_rules import MEND, Rule, rule_of, scorer_for
from tasks.gate.foreign.inspect_task import (
    OWN,
    Asked,
    as_texts,
    item_id,
    items_of,
    plain_messages,
    require_inspect,
    writers,
)
from tasks.gate.suites import Item, Scorer

FINISHED = "run it to its end (`inspect eval-retry`), or take another log"


class LogResult(Record):
    """One sample's result. ``score``: inspect_ai's value as a number; with several epochs, their mean."""

    id: str
    right: bool
    score: float = Field(ge=0, le=1)


class LogResults(Record):
    """One model's results in one log, in the order of their ids.

    Attributes:
        model: the name that inspect_ai called it by.
        log: digest of the file.
        scorer: whose values these are.
    """

    model: str
    log: Digest
    task: str
    scorer: str
    results: tuple[LogResult, ...]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "LogResults":
        if len({one.id for one in self.results}) != len(self.results):
            raise ValueError("a sample id repeats")
        return self


def load_inspect_log(path: Path) -> tuple[Scorer, list[Item]]:
    """A log's samples as items, with the ids that the task itself would give.

    Raises:
        SuiteError: it is no log, or of a task that isn't supported; names file, part and value.
    """
    log = _read(path)
    rule = _rule(path, log)
    names = [step.solver.removeprefix(OWN) for step in log.plan.steps]
    choice = rule.check is None
    writers(path.name, names, [step.params for step in log.plan.steps], "multiple_choice" if choice else "generate")
    if choice and set(names) - {"multiple_choice", "system_message"}:
        raise SuiteError(
            f"{path.name}: solver: {', '.join(names)}: the question can't be told from the letters it was sent with",
            do="name the task's file instead: file.py@task",
        )
    samples = [_asked(path, sample, choice=choice) for sample in log.samples if sample.epoch == 1]
    scorer = scorer_for(path.name, rule, log.plan.config.model_dump(), strict=False)
    return scorer, items_of(path.name, path.name, _name(log), rule, samples)


def results_of_log(path: Path) -> LogResults:
    """A finished log as results for a paired comparison.

    Raises:
        SuiteError: the run didn't finish, or a sample has an error or no usable score.
    """
    from inspect_ai.scorer import value_to_float  # pyright: ignore[reportMissingImports]

    log = _read(path)
    if log.status != "success":
        raise SuiteError(f"{path.name}: the run has the status {log.status!r}", do=FINISHED)
    scorer = _scorer(path, log).name
    number = value_to_float()
    values: dict[str, list[float]] = {}
    for sample in log.samples:
        where = f"{path.name}, sample {sample.id}"
        if sample.error is not None or scorer not in (sample.scores or {}):
            raise SuiteError(f"{where}: it has no score", do=FINISHED)
        value = sample.scores[scorer].value
        mark = number(value) if isinstance(value, str | int | float) else -1.0
        if not 0 <= mark <= 1:
            raise SuiteError(f"{where}: its score {value!r:.40} is none between 0 and 1", do=MEND)
        values.setdefault(item_id(_name(log), sample.id), []).append(mark)
    means = {id_: sum(marks) / len(marks) for id_, marks in sorted(values.items())}
    return LogResults(
        model=log.eval.model,
        log=digest_file(path),
        task=_name(log),
        scorer=scorer,
        results=tuple(LogResult(id=id_, right=mean > 0.5, score=mean) for id_, mean in means.items()),
    )


def _read(path: Path) -> Any:
    require_inspect(path)
    import zipfile

    from inspect_ai.log import read_eval_log  # pyright: ignore[reportMissingImports]

    try:
        log = read_eval_log(str(path), resolve_attachments="full")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SuiteError(
            f"{path.name} is no log of inspect_ai: {str(error).partition(chr(10))[0]}", do="name a .eval or .json log"
        ) from error
    if not log.samples:
        raise SuiteError(f"{path.name} has no samples", do="take a log that was written with its samples")
    return log


def _name(log: Any) -> str:
    """The task's name, without its package or file."""
    return log.eval.task.rpartition("/")[2].rpartition("@")[2]


def _scorer(path: Path, log: Any) -> Any:
    named = log.eval.scorers or []
    if len(named) != 1:
        raise SuiteError(f"{path.name}: scorer: it has {len(named)}, and one must judge", do=MEND)
    return named[0]


def _rule(path: Path, log: Any) -> Rule:
    scorer = _scorer(path, log)
    return rule_of(path.name, scorer.name.removeprefix(OWN), scorer.options or {})


def _asked(path: Path, sample: Any, *, choice: bool) -> Asked:
    """What was sent before the model's one answer; of a choice task, the question without its letters."""
    where = f"{path.name}, sample {sample.id}"
    given = [] if isinstance(sample.input, str) else plain_messages(where, sample.input)
    answers = sum(one.role == "assistant" for one in sample.messages) - sum(role == "assistant" for role, _ in given)
    if answers != 1 or sample.messages[-1].role != "assistant":
        raise SuiteError(f"{where}: it has {answers} answers of the model", do="take a task that asks once")
    messages = plain_messages(where, sample.messages[:-1])
    if choice:  # the last message of the user's was the question, and became the question with letters
        place = max(number for number, (role, _) in enumerate(messages) if role == "user")
        questions = [text for role, text in given if role == "user"] or [sample.input]
        messages[place] = ("user", questions[-1])
    return Asked(messages, tuple(sample.choices or ()), as_texts(sample.target), sample.id)
