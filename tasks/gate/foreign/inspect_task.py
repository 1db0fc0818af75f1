"""A local inspect_ai task (``file.py@task``) as a suite.

The task's own code makes its samples, and inspect_ai's own solvers make their prompts. Only solvers that write the
prompt and ask once are supported; agents, tools, critique and sandboxes are refused.
"""

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from tasks.errors import SuiteError
from tasks.gate.foreign import reason_of
from tasks.gate.foreign.inspect_rules import MEND, Rule, place_of, rule_of, scorer_for
from tasks.gate.suites import Item, Message, Scorer

INSTALL = "install it with the pinned versions: `pip install -c constraints.txt -e '.[suites]'`"
WRITERS = ("system_message", "user_message", "assistant_message", "prompt_template", "chain_of_thought")
OWN = "inspect_ai/"  # how its registry names its own solvers and scorers


class Asked(NamedTuple):
    """A sample as it is asked.

    Attributes:
        messages: role and text.
        number: its id, or its place from 1 on, as inspect_ai itself numbers samples.
    """

    messages: Sequence[tuple[str, str]]
    choices: tuple[str, ...]
    target: tuple[str, ...]
    number: int | str


def load_inspect_task(path: Path, name: str) -> tuple[Scorer, list[Item]]:
    """Read a task; runs its file.

    Raises:
        SuiteError: inspect_ai isn't installed, the file has no such task, or it asks for something that isn't
            supported; names file, part and value.
    """
    require_inspect(path)
    with contextlib.chdir(path.parent):  # a task names its data from where its file lies, as inspect_ai has it
        task = _made(path, name)
        where = f"{path.name}@{name}"
        _check(where, task)
        rule = _rule(where, task.scorer)
        solvers = _solvers(where, task, choice=rule.check is None)
        samples = [_asked(where, place, sample, solvers) for place, sample in enumerate(task.dataset, 1)]
    scorer = scorer_for(where, rule, task.config.model_dump(), strict=True)
    return scorer, items_of(where, path.name, name, rule, samples)


def require_inspect(path: Path) -> None:
    """Raise a SuiteError where inspect_ai isn't installed."""
    if importlib.util.find_spec("inspect_ai") is None:
        raise SuiteError(f"{path.name} is of inspect_ai, which isn't installed", do=INSTALL)


def items_of(where: str, file: str, name: str, rule: Rule, samples: Iterable[Asked]) -> list[Item]:
    """Samples as items; the same task and its logs give the same ids."""
    found = []
    for sample in samples:
        here = f"{where}, sample {sample.number}"
        judged: dict[str, Any] = (
            {"choices": sample.choices, "answer": place_of(here, sample.target, sample.choices)}
            if rule.check is None
            else {"checks": (rule.check(here, sample.target),)}
        )
        try:
            item = Item(
                id=item_id(name, sample.number),
                provenance=f"{file}: {name} sample {sample.number}",
                messages=tuple(Message(role=role, content=text) for role, text in sample.messages),
                **judged,
            )
        except ValidationError as error:
            raise SuiteError(f"{here}: {reason_of(error)}", do="mend or remove this sample") from None
        found.append(item)
    return found


def item_id(name: str, number: int | str) -> str:
    return f"{name}-{number:05d}" if isinstance(number, int) else f"{name}-{number}"


def plain_messages(where: str, messages: Iterable[Any]) -> list[tuple[str, str]]:
    """inspect_ai's chat messages as role and text.

    Raises:
        SuiteError: a tool's message, or content that isn't text.
    """
    found = []
    for message in messages:
        if not isinstance(message.content, str) and any(part.type != "text" for part in message.content):
            raise SuiteError(f"{where}: input: images and other media aren't supported", do="give texts only")
        if message.role == "tool" or getattr(message, "tool_calls", None):
            raise SuiteError(f"{where}: input: tool calls aren't supported", do="give texts only")
        found.append((message.role, message.text))
    return found


def as_texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _made(path: Path, name: str) -> Any:
    from inspect_ai import Task  # pyright: ignore[reportMissingImports]

    spec = importlib.util.spec_from_file_location(f"inspect_task_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SuiteError(f"{path.name} is no Python file", do="name it as file.py@task")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # for what the file imports from beside it
    try:
        spec.loader.exec_module(module)
        function = getattr(module, name, None)
        task = function() if callable(function) else None
    except Exception as error:  # the file may do anything
        raise SuiteError(
            f"{path.name}@{name} can't be made: {type(error).__name__}: {error}", do=f"mend {path.name}"
        ) from error
    finally:
        sys.path.remove(str(path.parent))
    if not isinstance(task, Task):
        raise SuiteError(f"{path.name} has no task {name!r}", do=f"name one of its @task functions: {path.name}@NAME")
    return task


def _check(where: str, task: Any) -> None:
    """Refuse what the gate can't do for a task."""
    if task.sample_source is not None:
        raise SuiteError(f"{where}: dataset: one that is made while it runs isn't supported", do="give a dataset")
    for part in ("setup", "sandbox", "approval", "model_roles", "epochs"):
        if getattr(task, part) and getattr(task, part) != 1:
            raise SuiteError(f"{where}: {part}: {getattr(task, part)!r:.60} isn't supported", do="take it out")


def _rule(where: str, scorers: Sequence[Any] | None) -> Rule:
    from inspect_ai.util import registry_info  # pyright: ignore[reportMissingImports]

    names = [registry_info(one).name for one in scorers or []]
    if len(names) != 1 or not names[0].startswith(OWN):
        raise SuiteError(
            f"{where}: scorer: {', '.join(names) or 'none'}; there must be one of inspect_ai's own", do=MEND
        )
    assert scorers is not None
    return rule_of(where, names[0].removeprefix(OWN), _parameters(scorers[0]))


def _parameters(made: Any) -> Mapping[str, Any]:
    """What a scorer or solver was made with: what inspect_ai writes into its logs. It has no public name."""
    from inspect_ai._util.registry import registry_params  # pyright: ignore[reportMissingImports]

    return registry_params(made)


def _solvers(where: str, task: Any, *, choice: bool) -> list[Any]:
    """The solvers that write the prompt. ``multiple_choice`` isn't one: its letters are for reading an answer."""
    from inspect_ai.util import registry_info  # pyright: ignore[reportMissingImports]

    given = list(task.solver) if isinstance(task.solver, Sequence) else [task.solver]  # a chain is a sequence
    names = [registry_info(one).name.removeprefix(OWN) for one in given]
    ends = "multiple_choice" if choice else "generate"
    return [given[place] for place in writers(where, names, [_parameters(one) for one in given], ends)]


def writers(where: str, names: Sequence[str], given: Sequence[Mapping[str, Any]], ends: str) -> list[int]:
    """Places of the solvers before the one that asks.

    Raises:
        SuiteError: a solver that isn't supported, or not where it may be.
    """
    for name, parameters in zip(names, given, strict=True):
        if name not in (*WRITERS, ends):
            raise SuiteError(
                f"{where}: solver: {name} isn't supported with this scorer",
                do=f"take {', '.join(WRITERS)}, then {ends}",
            )
        changed = {key for key in ("template", "cot", "multiple_correct", "shuffle") if parameters.get(key)}
        if name == "multiple_choice" and changed:
            raise SuiteError(
                f"{where}: solver: multiple_choice with {', '.join(sorted(changed))} isn't supported",
                do="take it out: the choices' likelihoods are compared, and no letter is asked for",
            )
    if list(names).count(ends) != 1 or names[-1] != ends:
        raise SuiteError(
            f"{where}: solver: {', '.join(names)}; {ends} must be there once, at the end", do=f"end with {ends}"
        )
    return list(range(len(names) - 1))


def _asked(where: str, place: int, sample: Any, solvers: Sequence[Any]) -> Asked:
    """A sample with the messages that inspect_ai's solvers write for it."""
    from inspect_ai.model import ChatMessageUser, ModelName  # pyright: ignore[reportMissingImports]
    from inspect_ai.scorer import Target  # pyright: ignore[reportMissingImports]
    from inspect_ai.solver import TaskState  # pyright: ignore[reportMissingImports]

    number = sample.id if sample.id is not None else place
    here = f"{where}, sample {number}"
    for part in ("sandbox", "files", "setup"):
        if getattr(sample, part):
            raise SuiteError(f"{here}: {part} isn't supported", do="take it out")
    given = [ChatMessageUser(content=sample.input)] if isinstance(sample.input, str) else sample.input
    state = TaskState(
        model=ModelName("none/none"),
        sample_id=number,
        epoch=1,
        input=sample.input,
        messages=list(given),
        target=Target(sample.target),
        choices=sample.choices,
        metadata=sample.metadata,
    )
    try:
        for solver in solvers:
            state = asyncio.run(solver(state, _asks_nothing))
    except (ValueError, KeyError, IndexError) as error:
        raise SuiteError(f"{here}: a solver can't write the prompt: {error}", do="mend its template") from error
    return Asked(plain_messages(here, state.messages), tuple(sample.choices or ()), as_texts(sample.target), number)


async def _asks_nothing(*_: Any, **__: Any) -> Any:
    raise ValueError("a solver that writes a prompt asked the model")
