"""What a job's objects say of its end: Kubernetes' own reasons, each to one outcome and a next action."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kubernetes import examples
from infra.kubernetes.ends import Seen, ending, holds, running, trouble
from infra.kubernetes.holdings import held, metered
from infra.outcome import LOST

LAUNCH = examples.launch()
QUEUE = 3600.0


def job(conditions: list[dict[str, Any]] | None = None, suspend: bool = False) -> dict[str, Any]:
    return {"metadata": {"name": LAUNCH.key}, "spec": {"suspend": suspend}, "status": {"conditions": conditions or []}}


def pod(phase: str, state: dict[str, Any] | None = None, name: str = "p", **status: Any) -> dict[str, Any]:
    conditions = status.pop("conditions", [{"type": "PodScheduled", "status": "True", "lastTransitionTime": at(10)}])
    containers = [{"name": "prefect-job", "state": state}] if state else []
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": at(0), "labels": {}},
        "status": {"phase": phase, "conditions": conditions, "containerStatuses": containers, **status},
    }


def at(second: int) -> str:
    return f"2026-11-26T02:{second // 60:02d}:{second % 60:02d}Z"


def ended(code: int, reason: str = "Error", second: int = 70, name: str = "p", **status: Any) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at(second)}}
    return pod("Succeeded" if code == 0 else "Failed", state, name, **status)


def disrupted(reason: str) -> list[dict[str, Any]]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "because"}]


FAILED = job([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}])


@pytest.mark.parametrize(
    ("seen", "kind", "says"),
    [
        (Seen(job([{"type": "Complete", "status": "True"}]), [ended(0)]), "completed", "completed"),
        (Seen(FAILED, [ended(3)]), "failed", "exit code 3"),
        (Seen(FAILED, [ended(137, "OOMKilled")]), "out_of_memory", "512 GB"),
        (Seen(FAILED, [ended(137)]), "out_of_memory", "most often for memory"),
        (Seen(job(), [ended(143, conditions=disrupted("PreemptionByScheduler"))]), "preempted", "higher priority"),
        (Seen(job(), [ended(143, conditions=disrupted("EvictionByEvictionAPI"))]), "preempted", "spot node"),
        (Seen(job(), [ended(143, conditions=disrupted("TerminationByKubelet"))]), "preempted", "shuts down"),
        (Seen(job(), [pod("Failed", conditions=disrupted("DeletionByPodGC"))]), "node_failure", "no longer there"),
        (Seen(job(), [ended(143, conditions=disrupted("DeletionByTaintManager"))]), "node_failure", "its node is gone"),
        (Seen(job(), [pod("Failed", reason="Evicted", message="low on memory")]), "preempted", "low on memory"),
        (Seen(job(), [pod("Failed", reason="NodeLost")]), "node_failure", "gone"),
        (Seen(job(), [pod("Failed", reason="OutOfnvidia.com/gpu")]), "node_failure", "OutOfnvidia.com/gpu"),
        (Seen(job(), [ended(143)]), "failed", "143"),
        (Seen(job(), [pod("Failed", reason="DeadlineExceeded")]), "time_limit", "8.00 h"),
        (Seen(job([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}])), "time_limit", "8.00 h"),
        (Seen(FAILED, [ended(127, "StartError")]), "refused", "could not start"),
        (Seen(FAILED), "vanished", "BackoffLimitExceeded"),
        (Seen(None), "vanished", "no longer in the cluster"),
    ],
)
def test_each_end_of_a_pod_is_one_outcome_that_says_what_and_what_to_do(seen: Seen, kind: str, says: str) -> None:
    end = ending(seen, LAUNCH, "the last line")
    assert end is not None
    assert (end.kind, says in end.what) == (kind, True), end
    assert bool(end.do) == (kind != "completed")


def test_a_deleted_pod_is_no_failure_of_its_program() -> None:
    gone = ended(143)
    gone["metadata"]["deletionTimestamp"] = at(60)
    end = ending(Seen(FAILED, [gone]), LAUNCH, "")
    assert end is not None
    assert end.kind in LOST


def test_a_disrupted_pod_explains_the_ends_of_all_others_of_its_training() -> None:
    first = ended(1, second=20, name="a")
    evicted = ended(143, second=90, name="b", conditions=disrupted("EvictionByEvictionAPI"))
    for pods in ([first, evicted], [evicted, first]):
        end = ending(Seen(job(), pods), LAUNCH, "")
        assert end is not None
        assert end.kind == "preempted"


def test_of_two_failures_the_first_in_time_is_the_cause() -> None:
    end = ending(Seen(job(), [ended(1, second=50, name="a"), ended(7, second=40, name="b")]), LAUNCH, "")
    assert end is not None
    assert end.exit_code == 7


def test_a_job_is_not_over_while_a_pod_of_it_may_still_write() -> None:
    seen = Seen(None, [pod("Running")])
    assert ending(seen, LAUNCH, "") is None
    found = trouble(seen, LAUNCH, QUEUE)
    assert found is not None
    assert (found.end.kind, found.patience < LAUNCH.seconds) == ("vanished", True)


@pytest.mark.parametrize(
    ("said", "kind"),
    [(FAILED, "vanished"), (job([{"type": "Complete", "status": "True"}]), "completed")],
)
def test_a_job_that_ended_between_the_lists_of_one_look_is_judged_by_its_pods_at_the_next(
    said: dict[str, Any], kind: str
) -> None:
    torn = Seen(said, [pod("Running")])
    assert ending(torn, LAUNCH, "") is None
    found = trouble(torn, LAUNCH, QUEUE)
    assert found is not None  # and a pod that never says that it ended is waited for no longer than this
    assert (found.state, found.end.kind, found.patience < 3600) == ("Ending", kind, True)
    lost = ending(Seen(FAILED, [pod("Failed", conditions=disrupted("DeletionByPodGC"))]), LAUNCH, "")
    assert lost is not None
    assert lost.kind == "node_failure"


def test_a_part_that_is_done_does_not_end_a_training_whose_others_run() -> None:
    assert ending(Seen(job(), [ended(0, name="a"), pod("Running", name="b")]), LAUNCH, "") is None


def test_a_job_that_kueue_suspended_has_not_ended_though_its_pods_failed() -> None:
    seen = Seen(job(suspend=True), [ended(143)])
    assert ending(seen, LAUNCH, "") is None
    found = trouble(seen, LAUNCH, QUEUE)
    assert found is not None
    assert (found.state, found.end.kind) == ("Queued", "held")


NO_CLAIM = {"reason": "FailedMount", "message": "no claim", "involvedObject": {"name": "p"}}
NO_NODE = {"type": "PodScheduled", "status": "False", "message": "0/4 nodes"}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return pod("Pending", {"waiting": {"reason": reason, "message": message}})


@pytest.mark.parametrize(
    ("seen", "state", "kind", "says"),
    [
        (Seen(job(), [waiting("ImagePullBackOff", "not found")]), "ImagePullBackOff", "refused", "can't be pulled"),
        (Seen(job(), [waiting("InvalidImageName")]), "InvalidImageName", "refused", "can't be pulled"),
        (Seen(job(), [waiting("CreateContainerConfigError", 'secret "s" not found')]), "CreateContainerConfigError",
         "refused", 'secret "s" not found'),
        (Seen(job(), [waiting("ContainerCreating")], [NO_CLAIM]), "Starting", "refused", "no claim"),
        (Seen(job(), [waiting("ContainerCreating")]), "Starting", "refused", "ContainerCreating"),
        (Seen(job(), [pod("Pending", conditions=[NO_NODE])]), "Unschedulable", "held", "0/4 nodes"),
        (Seen(job(), [], [{"reason": "FailedCreate", "message": "exceeded quota"}]), "Refused", "refused", "quota"),
        (Seen(job()), "Queued", "held", "no pod"),
        (Seen(job(), [pod("Unknown")]), "Unheard", "node_failure", "nothing is heard"),
        (Seen(job(), [pod("Running")]), "Running", "time_limit", "time limit"),
    ],
)  # fmt: skip
def test_whatever_a_job_waits_for_it_does_not_wait_for_ever(seen: Seen, state: str, kind: str, says: str) -> None:
    found = trouble(seen, LAUNCH, QUEUE)
    assert found is not None
    assert (found.state, found.end.kind, says in found.end.what) == (state, kind, True), found
    assert 0 <= found.patience < LAUNCH.seconds + 3600
    assert found.end.do


def test_a_name_that_can_be_no_image_is_not_waited_for() -> None:
    found = trouble(Seen(job(), [waiting("InvalidImageName")]), LAUNCH, QUEUE)
    assert found is not None
    assert found.patience == 0


def test_a_training_runs_once_all_of_its_pods_do() -> None:
    two = examples.launch(2)
    one, other = pod("Running", name="a"), pod("Pending", name="b")
    assert not running(Seen(job(), [one]), two)
    assert not running(Seen(job(), [one, other]), two)
    assert running(Seen(job(), [one, pod("Running", name="b")]), two)


def test_what_has_ended_holds_nothing_and_what_waits_might() -> None:
    assert not holds(Seen(None))
    assert not holds(Seen(FAILED, [ended(1)]))
    assert holds(Seen(job(), [ended(1, name="a"), pod("Running", name="b")]))
    assert holds(Seen(job()))


PHASES = st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"])
REASONS = st.none() | st.sampled_from(["Evicted", "NodeLost", "DeadlineExceeded", "Shutdown", "OutOfcpu", "Zyx"])
STATES = st.none() | st.one_of(
    st.builds(lambda code, reason: {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at(30)}},
              st.integers(0, 255), st.sampled_from(["Error", "OOMKilled", "Completed", "ContainerStatusUnknown"])),
    st.builds(lambda reason: {"waiting": {"reason": reason}},
              st.sampled_from(["ContainerCreating", "ErrImagePull", "Zyx"])),
)  # fmt: skip
PODS = st.lists(
    st.builds(
        lambda phase, reason, state, n: pod(phase, state, f"p{n}", **({"reason": reason} if reason else {})),
        PHASES, REASONS, STATES, st.integers(0, 9),
    ),
    max_size=4,
)  # fmt: skip


@given(PODS, st.booleans(), st.sampled_from([None, "Complete", "Failed"]))
def test_of_any_objects_there_is_an_end_a_limit_to_the_wait_or_a_run(
    pods: list[dict[str, Any]], suspend: bool, condition: str | None
) -> None:
    conditions = [{"type": condition, "status": "True", "reason": "Zyx"}] if condition else []
    seen = Seen(job(conditions, suspend), pods)
    end, found = ending(seen, LAUNCH, ""), trouble(seen, LAUNCH, QUEUE)
    assert end is not None or found is not None
    if end is not None and end.kind == "completed":
        assert not any(one["status"]["phase"] == "Failed" for one in pods)


# --- allocations ---


def test_a_pod_is_billed_from_its_node_to_its_end_by_the_clusters_own_times() -> None:
    (one,) = held([ended(0, "Completed", 70)], LAUNCH, {}, now=0).values()
    assert one.started - one.queued == 10
    assert one.ended is not None
    assert one.ended - one.started == 60
    assert (one.devices, one.nodes, one.state) == (8, 1, "Completed")


def test_a_pod_that_only_waited_for_a_node_is_not_billed() -> None:
    assert held([pod("Pending", conditions=[{"type": "PodScheduled", "status": "False"}])], LAUNCH, {}, now=0) == {}


def test_a_pod_that_vanished_unseen_is_billed_until_it_was_missed() -> None:
    known = held([pod("Running")], LAUNCH, {}, now=0)
    (one,) = held([], LAUNCH, known, now=2e9).values()
    assert (one.ended, one.state) == (2e9, "Gone")
    assert held([], LAUNCH, {one.id: one}, now=3e9)[one.id].ended == 2e9


def test_a_requeued_job_has_an_allocation_for_each_of_its_pods() -> None:
    first = held([ended(143, second=30, name="a")], LAUNCH, {}, now=0)
    both = held([ended(0, second=90, name="b")], LAUNCH, first, now=0)
    assert [one.id for one in metered(both, [], None)] == ["uid-a", "uid-b"]


@given(st.integers(0, 600), st.integers(0, 600))
def test_no_allocation_ends_before_it_started_whatever_the_clocks_say(scheduled: int, finished: int) -> None:
    conditions = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": at(scheduled)}]
    (one,) = held([ended(1, second=finished, conditions=conditions)], LAUNCH, {}, now=0).values()
    assert one.ended is not None
    assert one.ended >= one.started
