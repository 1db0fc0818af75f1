"""What a training's early end means for the night: every kind has its error, and several processes speak as one."""

import pickle
from typing import Any, get_args

import pytest

from infra.errors import JobEnded, PoolError
from infra.events import parse
from infra.pools.base import KILLED
from tasks.align.ended import crashed, ended_by_scheduler, error_of, merged, ran_out_of_memory
from tasks.align.health import Stop
from tasks.align.outcome import Kind, stopped
from tasks.errors import Interrupted, ModelError, NightshiftError, Unhealthy

# what the program sends with each kind
STOP = Stop(name="kl_too_large", step=6, what="the policy is 2 nats away (limit 0.5)", do="lower phase.learning_rate")
FIELDS: dict[Kind, dict[str, Any]] = {
    "interrupted": {"step": 5, "what": "SIGTERM asked the training to end"},
    "unhealthy": {"step": 5, **STOP.model_dump(exclude={"step"})},
    "not_finite": {"step": 5, "what": "the gradient norm is nan", "pairs": ["pair-27"]},
    "refused": {"what": "phase.batch_size 3 can't be shared by 2 processes", "do": "make it a multiple of 2"},
    "out_of_memory": {"what": "CUDA out of memory. Tried to allocate 2 GiB."},
}
ERRORS: dict[Kind, type[NightshiftError]] = {
    "interrupted": Interrupted,
    "unhealthy": Unhealthy,
    "not_finite": Unhealthy,
    "refused": ModelError,
    "out_of_memory": ModelError,
}


def sent(kind: Kind, capsys: pytest.CaptureFixture[str], **changes: Any) -> dict[str, Any]:
    """The event as the night reads it from the program's output."""
    stopped(kind, **FIELDS[kind] | changes)
    event = parse(capsys.readouterr().out)
    assert event is not None
    return event


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_of_end_is_an_error_that_says_what_it_was_and_what_to_do(
    kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(sent(kind, capsys))
    assert type(error) is ERRORS[kind]
    assert FIELDS[kind]["what"] in error.what
    assert error.do
    assert FIELDS[kind].get("do", error.do) == error.do
    # guilty pairs are left out from now on, so their training's checkpoint is of no more use
    kept = "step" in FIELDS[kind] and not FIELDS[kind].get("pairs")
    assert ("the checkpoint of step 5 is kept" in error.what) == kept


def test_an_end_before_the_first_checkpoint_says_that_none_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(sent("interrupted", capsys, step=0)).what.endswith("; no checkpoint was made yet")


def test_an_unhealthy_end_names_its_condition(capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(sent("unhealthy", capsys)).what.startswith("kl too large: the policy is 2 nats away (limit 0.5)")


def test_pairs_that_are_not_finite_are_named_handed_on_and_said_to_be_in_quarantine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["pair-2", "a\u2028b"]
    error = error_of(sent("not_finite", capsys, pairs=names))
    assert isinstance(error, Unhealthy)
    assert error.pairs == tuple(names)
    assert "alone from the pair(s) pair-2, a\u2028b, which are in quarantine now" in error.what
    assert "leaves them out" in error.do
    again = pickle.loads(pickle.dumps(error))  # as Prefect does
    assert again.what == error.what


def test_no_pair_is_blamed_where_none_does_it_alone(capsys: pytest.CaptureFixture[str]) -> None:
    error = error_of(sent("not_finite", capsys, pairs=[]))
    assert isinstance(error, Unhealthy)
    assert error.pairs == ()
    assert "no single pair of the batch does it alone" in error.what
    assert "quarantine" not in str(error)


def test_the_pairs_that_several_processes_found_are_one_list_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = [sent("not_finite", capsys, pairs=pairs) for pairs in ([], ["pair-9", "pair-1"], ["pair-1"])]
    one = merged(found)
    assert one["pairs"] == ["pair-1", "pair-9"]
    assert one | {"pairs": []} == found[0]
    assert merged([FIELDS["refused"], FIELDS["refused"]]) == FIELDS["refused"]


def test_memory_ran_out_where_one_process_says_so_whatever_the_others_say(capsys: pytest.CaptureFixture[str]) -> None:
    # torchrun ends the other processes, which then say that they were asked to
    said = [sent("interrupted", capsys), sent("out_of_memory", capsys)]
    assert ran_out_of_memory(said, failed("ended with exit code 1")) == FIELDS["out_of_memory"]["what"]
    assert ran_out_of_memory(said[:1], failed(f"ended with exit code -9 ({KILLED})")) is None


TORCHRUN = """tasks.align.program ended with exit code 1 (its own error); its last output:
Root Cause (first observed failure):
[0]:
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 6714)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 6714
"""


def test_one_of_several_processes_killed_is_memory_though_the_others_say_they_were_asked_to_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    killed = f"one of the processes was {KILLED}"
    assert ran_out_of_memory([], failed(TORCHRUN)) == killed
    assert ran_out_of_memory([sent("interrupted", capsys)], failed(TORCHRUN)) == killed
    assert ran_out_of_memory([sent("refused", capsys), sent("interrupted", capsys)], failed(TORCHRUN)) is None


def test_a_program_killed_without_a_word_ran_out_of_memory_and_any_other_failure_did_not() -> None:
    killed = f"tasks.align.program ended with exit code -9 ({KILLED}); its last output:\nLoading weights"
    assert ran_out_of_memory([], failed(killed)) == killed.partition("\n")[0]
    assert (
        ran_out_of_memory([], failed("tasks.align.program ended with exit code 1 (its own error); its last output:"))
        is None
    )


def test_a_process_that_crashed_is_not_hidden_by_the_others_that_were_then_asked_to_end() -> None:
    asked = {"kind": "interrupted", "what": "SIGTERM asked", "step": 5}
    assert crashed([asked], 2)
    assert not crashed([asked, asked], 2)
    assert not crashed([asked], 1)
    assert not crashed([{"kind": "refused", "what": "w", "do": "d"}], 2)


def failed(what: str) -> PoolError:
    return PoolError(what, do="x")


def test_a_scheduler_s_word_on_memory_counts_though_the_program_said_nothing() -> None:
    assert ran_out_of_memory([], JobEnded("the pod was killed for memory\nlog", do="x", kind="out_of_memory")) == (
        "the pod was killed for memory"
    )
    assert ran_out_of_memory([], JobEnded("the job lost a node", do="x", kind="node_failure")) is None


def test_a_training_that_its_scheduler_ended_says_the_scheduler_s_reason_and_its_checkpoint() -> None:
    stops = [
        {"kind": "interrupted", "what": "SIGTERM", "step": 7},
        {"kind": "interrupted", "what": "SIGTERM", "step": 7},
    ]
    error = JobEnded("job 4 reached its time limit of 6 h", do="raise hours", kind="time_limit")
    found = ended_by_scheduler(stops, error)
    assert found is not None
    assert (found.what, found.do) == (
        "job 4 reached its time limit of 6 h; the checkpoint of step 7 is kept",
        "raise hours",
    )
    assert ended_by_scheduler([], error) is None  # it was killed before it could keep anything
    assert ended_by_scheduler([{"kind": "unhealthy"}, *stops], error) is None  # that is why it ended
    assert ended_by_scheduler(stops, JobEnded("its own error", do="x", kind="failed")) is None
    assert ended_by_scheduler(stops, failed("a local program's error")) is None
