"""Deployments: real folders as targets, a real HTTP server that follows each, and crashes at every call."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import PrivateAttr, SecretStr

from infra.errors import TargetError
from infra.targets.base import Pointer, Target
from infra.targets.hook import HttpHookTarget
from infra.targets.pointer import PointerTarget
from tasks.probes import Probe, ProbeMessage, ProbeSet
from tasks.registry.deploy import Deployed, deploy, may_have_moved, state_of, way_back
from tests.outside import FakeHookReceiver, FakeOpenAi, http_server


def pointer(version: int, at: str = "2026-11-26T02:00:00+00:00") -> Pointer:
    digest = f"sha256:{version:064x}"
    return Pointer(name="shop", version=version, model=digest, artefact=f"s3://m/{version}", manifest=digest, at=at)


def answer(version: int, prompt: str) -> str:
    """What a version says. 1 and 2 differ after their first words, others at once."""
    if version > 2:
        return f"{version} has nothing to say of {prompt}."
    return f"You asked {prompt}: this is what version {version} says."


def probes(version: int, other: int) -> ProbeSet:
    return ProbeSet(
        model=pointer(version).model,
        probes=tuple(
            Probe(
                messages=(ProbeMessage(role="user", content=prompt),),
                answer=answer(version, prompt),
                others=(answer(other, prompt),),
                max_tokens=20,
            )
            for prompt in "ab"
        ),
    )


OLD, NEW = pointer(1), pointer(2)
OLD_PROBE, NEW_PROBE = probes(1, 2), probes(2, 1)


class Place(NamedTuple):
    """A folder with a pointer, and a server that serves what ``serves`` makes of the version there."""

    target: PointerTarget
    api: FakeOpenAi
    serves: dict[int, int]  # the version pointed to → the version that answers, where that isn't the same


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    with ExitStack() as stack:

        def make(name: str) -> Place:
            folder = tmp_path / name
            folder.mkdir()
            serves: dict[int, int] = {}

            def says(messages: list[dict[str, str]], _: int) -> tuple[str, list[float]]:
                now = target.points_to()
                version = now.version if now else 0
                return answer(serves.get(version, version), messages[-1]["content"]), []

            api = FakeOpenAi(says)
            url = stack.enter_context(http_server(api)) + "/v1"
            target = PointerTarget(url=str(folder), endpoint=url, ready_seconds=0.05)
            target.point(OLD)
            return Place(target, api, serves)

        yield make


def run(places: dict[str, Any], **more: Any) -> Deployed:
    targets = {name: getattr(place, "target", place) for name, place in places.items()}
    return deploy(NEW, targets, NEW_PROBE, **({"before": OLD, "before_probe": OLD_PROBE} | more))


def states(found: Deployed) -> list[str]:
    return [one.state for one in found.outcomes]


def version_of(place: Place) -> int:
    found = place.target.points_to()
    assert found is not None
    return found.version


def test_all_targets_serve_the_new_version(places: Callable[[str], Place]) -> None:
    made = {"a": places("a"), "b": places("b")}
    found = run(made)
    assert (found.serving, found.undone, found.broken) == (True, False, ())
    assert [(one.state, one.version, one.why, one.notes) for one in found.outcomes] == [("serving", 2, "", ())] * 2
    assert found.words() == "a: serving\nb: serving"


def test_twice_is_as_once(places: Callable[[str], Place]) -> None:
    made = {"a": places("a")}
    run(made)
    held = made["a"].target.points_to()
    assert states(run(made)) == ["serving"]
    assert made["a"].target.points_to() == held


def test_a_server_that_goes_on_serving_the_old_version_is_rolled_back(places: Callable[[str], Place]) -> None:
    made = {"a": places("a")}
    made["a"].serves[2] = 1  # it never loads the new one
    found = run(made)
    (outcome,) = found.outcomes
    assert (outcome.state, outcome.version) == ("rolled back", 1)
    assert "2 answers go on like another model's" in outcome.why
    assert (found.serving, found.undone, found.broken) == (False, True, ())
    assert OLD.same(made["a"].target.points_to())


def test_when_one_target_fails_those_that_served_already_go_back_too(places: Callable[[str], Place]) -> None:
    made = {"a": places("a"), "b": places("b"), "c": places("c")}
    made["b"].serves[2] = 7
    found = run(made)
    assert states(found) == ["rolled back", "rolled back", "unchanged"]
    assert found.outcomes[0].why == "b failed, and all targets serve one version"
    assert found.undone
    assert {version_of(place) for place in made.values()} == {1}
    assert made["c"].api.asked == 0


def test_a_target_that_can_not_be_pointed_keeps_all_where_they_are(places: Callable[[str], Place]) -> None:
    made: dict[str, Any] = {"a": places("a"), "hook": HttpHookTarget(url=SecretStr("ftp://x"), secret=SecretStr("x"))}
    found = run(made)
    assert states(found) == ["unchanged", "unchanged"]
    assert "http:// or https://" in found.outcomes[1].why
    assert version_of(made["a"]) == 1


def test_a_server_that_is_stuck_on_the_bad_version_is_a_failure_and_loud(places: Callable[[str], Place]) -> None:
    made = {"a": places("a")}
    made["a"].serves.update({2: 7, 1: 7})  # whatever it is pointed to
    found = run(made)
    (outcome,) = found.broken
    assert (outcome.state, outcome.version) == ("failed", None)
    assert "and it can't be pointed back: " in outcome.why
    assert (found.serving, found.undone) == (False, False)
    assert found.words().startswith("a: FAILED (")


def test_a_server_that_says_it_serves_another_version_is_rolled_back(places: Callable[[str], Place]) -> None:
    made = {"a": places("a")}
    made["a"].api.models = {"shop-9-000000000009": ""}
    (outcome,) = run(made, before_probe=None).outcomes
    assert "the server says that it serves version 9" in outcome.why
    assert outcome.state == "failed"  # it says so after pointing back as well


def test_the_way_back_is_what_the_target_served_not_what_the_registry_thinks(places: Callable[[str], Place]) -> None:
    made = {"a": places("a")}
    made["a"].target.point(pointer(5))
    made["a"].serves[2] = 1
    (outcome,) = run(made).outcomes
    assert (outcome.state, outcome.version) == ("rolled back", 5)
    assert outcome.notes == (
        "not probed: the version has no probe set, and the server doesn't say which version it serves",
    )


def test_after_a_crash_the_way_back_is_what_served_by_the_registry(places: Callable[[str], Place]) -> None:
    made = {"a": places("a")}
    made["a"].target.point(NEW)  # by a run that was killed before it probed
    made["a"].serves[2] = 7
    (outcome,) = run(made).outcomes
    assert (outcome.state, outcome.version) == ("rolled back", 1)


def test_a_first_deployment_that_fails_has_no_way_back_and_says_so(places: Callable[[str], Place]) -> None:
    made = {"a": places("a")}
    (Path(made["a"].target.url) / "pointer.json").unlink()
    made["a"].serves[2] = 7
    (outcome,) = run(made, before=None, before_probe=None).outcomes
    assert outcome.state == "failed"
    assert "it isn't known what it served before" in outcome.why


def test_without_an_endpoint_or_a_probe_set_the_outcome_says_what_was_not_probed(
    places: Callable[[str], Place], tmp_path: Path
) -> None:
    place = places("a")
    bare = PointerTarget(url=str(tmp_path / "bare"), unprobed=True)
    found = deploy(NEW, {"a": place.target, "bare": bare}, None)
    assert found.serving
    assert "the server doesn't say which version it serves" in found.outcomes[0].notes[0]
    assert found.outcomes[1].notes == ("not probed: the target has no endpoint",)
    assert "bare: serving; not probed" in found.words()


def test_a_target_without_an_endpoint_is_refused_unless_that_was_accepted(tmp_path: Path) -> None:
    found = run({"bare": PointerTarget(url=str(tmp_path))})
    assert states(found) == ["unchanged"]
    assert "nobody can ask what serves" in found.outcomes[0].why


SECRET = "a-secret-of-thirty-two-characters-"


def test_a_hook_that_can_not_be_read_is_posted_the_way_back(places: Callable[[str], Place]) -> None:
    receiver = FakeHookReceiver(SECRET)
    bad = places("bad")
    bad.serves[2] = 7
    with http_server(receiver) as url:
        hook = HttpHookTarget(url=SecretStr(url), secret=SecretStr(SECRET), unprobed=True)
        found = run({"hook": hook, "bad": bad})
    assert states(found) == ["rolled back", "rolled back"]
    assert [one["version"] for one in receiver.taken] == [2, 1]


def test_a_hook_whose_way_back_is_unknown_is_a_failure_and_loud(places: Callable[[str], Place]) -> None:
    bad = places("bad")
    bad.serves[2] = 7
    with http_server(FakeHookReceiver(SECRET)) as url:
        hook = HttpHookTarget(url=SecretStr(url), secret=SecretStr(SECRET), unprobed=True)
        found = run({"hook": hook, "bad": bad}, before=None)
    assert states(found) == ["failed", "rolled back"]
    assert [one.target for one in found.broken] == ["hook"]


# --- a crash at every call ---


class Killed(BaseException):
    """The process is gone: nothing catches this."""


class Crashing(Target):
    """A target that is killed at its n-th call, before or after the call did its work."""

    _block_type_name = "Crashing"
    _inner: Target = PrivateAttr()
    _calls: list[int] = PrivateAttr()
    _after: bool = PrivateAttr(default=False)

    def around(self, inner: Target, left: list[int], *, after: bool) -> "Crashing":
        self._inner, self._calls, self._after = inner, left, after
        return self

    def _call(self, name: str, *arguments: Any) -> Any:
        self._calls[0] -= 1
        if self._calls[0] == 0 and not self._after:
            raise Killed(name)
        done = getattr(self._inner, name)(*arguments)
        if self._calls[0] == 0:
            raise Killed(name)
        return done

    def check(self) -> list[str]:
        return self._call("check")

    def point(self, to: Pointer) -> None:
        self._call("point", to)

    def points_to(self) -> Pointer | None:
        return self._call("points_to")

    def served(self) -> Any:
        return self._call("served")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_killed_at_every_call_and_run_again_it_ends_as_if_it_never_was(
    places: Callable[[str], Place], bad: bool, after: bool
) -> None:
    made = {"a": places("a"), "b": places("b")}
    if bad:
        made["b"].serves[2] = 7
    whole = run(made)
    wanted = [(one.state, one.version) for one in whole.outcomes]
    assert wanted == ([("rolled back", 1)] * 2 if bad else [("serving", 2)] * 2)
    number = killed = 0
    while True:
        number += 1
        for place in made.values():
            place.target.point(OLD)
        left = [number]
        try:
            run(
                {
                    name: Crashing(ready_seconds=0.01).around(place.target, left, after=after)
                    for name, place in made.items()
                }
            )
            break  # it had fewer calls than that: every one was killed
        except Killed:
            killed += 1
        again = run(made)
        assert [(one.state, one.version) for one in again.outcomes] == wanted, f"killed at call {number}"
        assert {version_of(place) for place in made.values()} == {1 if bad else 2}
    assert killed >= (12 if bad else 8)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_error_at_every_call_leaves_no_target_on_a_version_that_nobody_names(
    places: Callable[[str], Place], after: bool
) -> None:
    made = {"a": places("a"), "b": places("b")}

    class Failing(Crashing):
        _block_type_name = "Failing"

        def _call(self, name: str, *arguments: Any) -> Any:
            try:
                return super()._call(name, *arguments)
            except Killed:
                raise TargetError(f"{name} failed", do="look") from None

    for number in range(1, 9):
        for place in made.values():
            place.target.point(OLD)
        left = [number]
        found = run(
            {name: Failing(ready_seconds=0.01).around(place.target, left, after=after) for name, place in made.items()}
        )
        served = {name: version_of(place) for name, place in made.items()}
        for outcome in found.outcomes:
            if outcome.state == "serving":
                assert served[outcome.target] == 2
            elif outcome.state in ("unchanged", "rolled back"):
                assert served[outcome.target] == 1
        assert found.serving == (set(served.values()) == {2} and not found.broken), f"failed at call {number}"


# --- the decisions, pure ---


@pytest.mark.parametrize(
    ("found", "before", "back"),
    [
        (OLD, None, OLD),
        (OLD, pointer(5), OLD),
        (None, OLD, OLD),
        (NEW, OLD, OLD),
        (pointer(2, "another time"), OLD, OLD),  # the same, moved at another time
        (NEW, None, None),
        (NEW, NEW, None),
        (None, None, None),
        (None, pointer(2, "another time"), None),
    ],
)
def test_the_way_back_is_never_the_new_version(
    found: Pointer | None, before: Pointer | None, back: Pointer | None
) -> None:
    assert way_back(found, NEW, before) == back


@pytest.mark.parametrize(
    ("moved", "why", "others", "back", "state", "words"),
    [
        (True, "", "", None, "serving", ""),
        (False, "", "", None, "failed", "nothing says why"),
        (False, "no", "", None, "unchanged", "no"),
        (False, "", "b failed", None, "unchanged", "b failed"),
        (True, "no", "", "", "rolled back", "no"),
        (True, "", "b failed", "", "rolled back", "b failed"),
        (True, "no", "", "gone", "failed", "no; and it can't be pointed back: gone"),
        (True, "", "b failed", "gone", "failed", "b failed; and it can't be pointed back: gone"),
        (True, "no", "", None, "failed", "no; it was not pointed back"),
    ],
)
def test_a_targets_state_follows_from_what_happened(
    moved: bool, why: str, others: str, back: str | None, state: str, words: str
) -> None:
    found = state_of(moved=moved, why=why, others=others, back=back)
    assert found[0] == state
    assert words in found[1]


@pytest.mark.parametrize(
    ("knows", "found", "now", "moved"),
    [
        (True, OLD, OLD, False),
        (True, OLD, NEW, True),
        (True, None, None, False),
        (True, None, NEW, True),
        (False, None, None, True),
    ],
)
def test_a_target_that_can_not_tell_may_have_moved(
    knows: bool, found: Pointer | None, now: Pointer | None, moved: bool
) -> None:
    assert may_have_moved(knows, found, now) == moved
