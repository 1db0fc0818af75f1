"""A step: a Prefect task that is metered and that knows its inputs by digest.

Prefect's own cache key hashes the source of the wrapped function only, and its inputs by pickle; a step's key is the
digest of what decides its result plus the revision of its area's code (docs/design/steps.md).
"""

import contextlib
import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from prefect import task
from prefect.context import TaskRunContext

from infra.attempts import AttemptLog, Device, step_of
from infra.digest import code_revision, digest_of, short
from infra.settings import ROOT, load_settings

SHARED = (
    "tasks/chained.py", "tasks/contracts.py", "tasks/data_spec.py", "tasks/judged.py", "tasks/parts.py",
    "tasks/method_table.py", "tasks/phased.py", "tasks/phases.py", "tasks/recipe.py", "tasks/trainable.py",
)  # fmt: skip


class AnyNight(Protocol):
    """What a step needs to know of its night (``tasks.contracts.Night`` fits)."""

    @property
    def folder(self) -> str: ...
    @property
    def flow_run(self) -> str: ...
    @property
    def fresh(self) -> bool: ...


Result = TypeVar("Result")
Step = Callable[..., Result]

CPU = Device(pool="local", kind="cpu", count=1, accelerator=False)


@functools.cache
def revision(area: str) -> str:
    """Revision of the code a step's result depends on: its area, its expectations, what areas share, the contracts."""
    places = (f"tasks/{area}", f"expectations/{area}", "tasks/lm", *SHARED)
    return code_revision(*(ROOT / place for place in places))


def attempt_log(night: AnyNight) -> AttemptLog:
    return AttemptLog(Path(night.folder) / "attempts.jsonl")


def _renew(key: str) -> None:
    """A result that is about to be reused is as good as new: it is cleaned away by its age (``tasks.retention``)."""
    with contextlib.suppress(OSError):  # there is none yet, or results are kept elsewhere
        os.utime(results_folder(load_settings().home) / key)


def results_folder(home: Path) -> Path:
    """Where Prefect keeps steps' results, a file a key (PREFECT_HOME is ``HOME/prefect``)."""
    return home / "prefect" / "storage"


def step(
    *,
    area: str,
    key: Callable[..., Any] | None,
    device: Callable[..., Device] | None = None,
    number: Callable[..., int] = lambda *_, **__: 1,
) -> Callable[[Callable[..., Result]], Step[Result]]:
    """Make a metered, cached Prefect task of ``function(night, ...)``.

    Args:
        area: the folder of ``tasks/`` whose code the result depends on.
        key: from the same arguments, what decides the result; None: never reused.
        device: from the same arguments, what the attempt holds; a CPU unless given.
        number: from the same arguments, the how manieth of its kind tonight, where there are several: its log, its bill
            and its task run are called by it (``infra.attempts.step_of``).
    """

    def decorate(function: Callable[..., Result]) -> Step[Result]:
        name = function.__name__
        signature = inspect.signature(function)

        def called(night: AnyNight, *args: Any, **kwargs: Any) -> str:
            return step_of(name, number(night, *args, **kwargs))

        @functools.wraps(function)
        def metered(night: AnyNight, *args: Any, **kwargs: Any) -> Result:
            held = device(night, *args, **kwargs) if device else CPU
            with attempt_log(night).attempt(called(night, *args, **kwargs), night.flow_run, held):
                return function(night, *args, **kwargs)

        def cache_key(_: TaskRunContext, parameters: dict[str, Any]) -> str:
            assert key is not None
            # a result refers to objects of the store beside it: it is worth nothing to a night with another store
            store = str(load_settings().home)
            found = f"{name}-{short(digest_of([name, revision(area), store, key(**parameters)]), 32)}"
            _renew(found)
            return found

        prefect_task = task(
            name=name,
            task_run_name=name,
            cache_key_fn=cache_key if key else None,
            persist_result=key is not None,
            result_serializer="json",
        )(metered)

        @functools.wraps(function)
        def call(night: AnyNight, *args: Any, **kwargs: Any) -> Result:
            signature.bind(night, *args, **kwargs)
            own = called(night, *args, **kwargs)
            tonight = prefect_task.with_options(refresh_cache=night.fresh, task_run_name=own)
            state: Any = tonight(night, *args, return_state=True, **kwargs)
            if state.name == "Cached":
                attempt_log(night).reused(own, night.flow_run)
            return state.result()

        return call

    return decorate
