"""Who may change what: every role, change, owner and state against a table that says what is allowed; no more is."""

import re
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.registry_guard.approval_spec import ApprovalSpec
from infra.registry_guard.changes import Change
from infra.registry_guard.policy import refuse
from infra.registry_guard.routes import SERVER_KINDS
from infra.registry_guard.terms import ALIASES, ROLES, WRITE_ONCE, State, User

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER, EARLIER = (NOW + timedelta(hours=1)).isoformat(), (NOW - timedelta(hours=1)).isoformat()
YEARS = (NOW + timedelta(days=700)).isoformat()
ASKED = {"approval": "requested"}
KEY = "sha256:" + "a" * 64


def tags(verdict: str | None, **more: str) -> dict[str, str]:
    role = "candidate" if verdict else "base"
    found = {"nightshift.key": KEY, "nightshift.role": role, "nightshift.promotable": "true"}
    if verdict:
        found["nightshift.verdict"] = verdict
    return found | {name.replace("__", "."): value for name, value in more.items()}


STATES = {
    "asked PASS": tags("PASS", approval="requested", approval__expires=LATER),
    "expired PASS": tags("PASS", approval="requested", approval__expires=EARLIER),
    "unasked PASS": tags("PASS"),
    "approved PASS": tags("PASS", approval="approved"),
    "rejected PASS": tags("PASS", approval="rejected: worse"),
    "overridden PASS": tags("PASS", approval="requested", nightshift__promotable="false"),
    "asked FAIL": tags("FAIL", approval="requested"),
    "asked BLOCK": tags("BLOCK", approval="requested"),
    "asked INCONCLUSIVE": tags("INCONCLUSIVE", approval="requested", nightshift__waivable="true"),
    "waived INCONCLUSIVE": tags("INCONCLUSIVE", approval="requested", nightshift__waivable="true", waiver="small bank"),
    "waived unasked": tags("INCONCLUSIVE", nightshift__waivable="true", waiver="small bank"),
    "unwaivable": tags("INCONCLUSIVE", approval="requested", nightshift__waivable="false", waiver="small bank"),
    "unasked INCONCLUSIVE": tags("INCONCLUSIVE", nightshift__waivable="true"),
    "base": tags(None),
}
DECIDED = {"approved PASS", "rejected PASS"}
UNDECIDED = set(STATES) - DECIDED
OPEN = UNDECIDED - {"expired PASS", "unasked PASS", "unasked INCONCLUSIVE", "base"}
WAIVABLE = {"asked INCONCLUSIVE", "waived INCONCLUSIVE", "waived unasked", "unasked INCONCLUSIVE"}
NO_EXPIRY = UNDECIDED - {"asked PASS", "expired PASS"}

# me: the one who acts
OWNERS = {
    "mine": ("me", frozenset()),
    "requested by me": ("ann", frozenset({"me"})),
    "of another": ("ann", frozenset({"ann"})),
    "unknown": (None, frozenset()),
}


def tag(key: str, value: str) -> Change:
    return Change("set_version_tag", "demo", "3", key, value)


CHANGES = {
    "create model": Change("create_model", "demo", tags={"nightshift.initialised": "yes"}),
    "create candidate": Change(
        "create_version", "demo", tags=tags("PASS", approval="requested", approval__expires=LATER)
    ),
    "create unending": Change("create_version", "demo", tags=tags("PASS", approval="requested")),
    "create for years": Change(
        "create_version", "demo", tags=tags("PASS", approval="requested", approval__expires=YEARS)
    ),
    "create base": Change("create_version", "demo", tags=tags(None)),
    "create approved": Change("create_version", "demo", tags=tags("PASS", approval="approved")),
    "create waived": Change("create_version", "demo", tags=tags("INCONCLUSIVE", waiver="mine")),
    "create signed": Change("create_version", "demo", tags=tags("PASS", approval__by="zoe")),
    "create expired": Change("create_version", "demo", tags=tags("PASS", approval__expires=EARLIER)),
    "rename": Change("rename_model", "demo", new_name="other"),
    "update model": Change("update_model", "demo"),
    "delete model": Change("delete_model", "demo"),
    "model tag": Change("set_model_tag", "demo", key="nightshift.initialised", value="yes"),
    "foreign model tag": Change("set_model_tag", "demo", key="colour", value="red"),
    "delete model tag": Change("delete_model_tag", "demo", key="nightshift.initialised"),
    "update version": Change("update_version", "demo", "3"),
    "stage": Change("transition_stage", "demo", "3"),
    "delete version": Change("delete_version", "demo", "3"),
    "delete champion version": Change("delete_version", "demo", "1"),
    "same key": tag("nightshift.key", KEY),
    "other key": tag("nightshift.key", "sha256:" + "b" * 64),
    "bookkeeping": tag("nightshift.promoted", LATER),
    "foreign tag": tag("colour", "red"),
    "request": tag("approval", "requested"),
    "approve": tag("approval", "approved"),
    "reject": tag("approval", "rejected: worse"),
    "reject without reason": tag("approval", "rejected: "),
    "maybe": tag("approval", "maybe"),
    "note": tag("approval.note", "looked at it"),
    "waive": tag("waiver", "small bank"),
    "waive without reason": tag("waiver", " "),
    "waived by zoe": tag("waiver.by", "zoe"),
    "signed by zoe": tag("approval.by", "zoe"),
    "signed by me": tag("approval.by", "me"),
    "signed at": tag("approval.at", EARLIER),
    "signed once": tag("approval.at", "yesterday"),
    "expires later": tag("approval.expires", LATER),
    "expires in years": tag("approval.expires", YEARS),
    "expires earlier": tag("approval.expires", EARLIER),
    "expires never": tag("approval.expires", "never"),
    "delete approval": Change("delete_version_tag", "demo", "3", "approval"),
    "delete verdict": Change("delete_version_tag", "demo", "3", "nightshift.verdict"),
    "champion": Change("set_alias", "demo", "3", alias="champion"),
    "previous": Change("set_alias", "demo", "3", alias="previous"),
    "anchor": Change("set_alias", "demo", "3", alias="anchor"),
    "shadow": Change("set_alias", "demo", "3", alias="shadow"),
    "Champion": Change("set_alias", "demo", "3", alias="Champion"),
    "delete champion": Change("delete_alias", "demo", alias="champion"),
    "delete anchor": Change("delete_alias", "demo", alias="anchor"),
    "delete previous": Change("delete_alias", "demo", alias="previous"),
    "delete shadow": Change("delete_alias", "demo", alias="shadow"),
    "disguised approval": tag("Approval ", "approved"),
    "disguised key": tag("NIGHTSHIFT.key", "x"),
}

ALL_STATES, ALL_OWNERS = set(STATES), set(OWNERS)

# (role, changes, whose version, in which states): all that is allowed
ALLOWED: list[tuple[str, set[str], set[str], set[str]]] = [
    ("trainer", {"create model", "create candidate", "create base"}, ALL_OWNERS, ALL_STATES),
    ("trainer", {"update version", "same key", "bookkeeping"}, {"mine"}, ALL_STATES),
    ("trainer", {"request"}, {"mine"}, {"asked PASS", "expired PASS"}),
    ("trainer", {"expires later"}, {"mine"}, NO_EXPIRY | DECIDED),
    ("service", {"create model", "create base", "update model", "model tag"}, ALL_OWNERS, ALL_STATES),
    ("service", {"update version", "same key", "bookkeeping", "signed at", "reject"}, ALL_OWNERS, ALL_STATES),
    ("service", {"shadow", "delete previous", "delete shadow"}, ALL_OWNERS, ALL_STATES),
    ("service", {"request"}, ALL_OWNERS, {"asked PASS", "expired PASS"}),
    ("service", {"expires later"}, ALL_OWNERS, UNDECIDED),
    ("service", {"signed by zoe"}, ALL_OWNERS, DECIDED),
    ("service", {"champion"}, ALL_OWNERS, {"approved PASS"}),
    ("approver", {"approve"}, {"of another"}, {"asked PASS", "waived INCONCLUSIVE", "waived unasked"}),
    ("approver", {"reject", "note"}, {"of another"}, OPEN),
    ("approver", {"waive"}, {"of another"}, WAIVABLE),
    ("admin", {"shadow", "delete shadow", "delete version"}, ALL_OWNERS, ALL_STATES),
]


def state_of(state: str, owner: str) -> State:
    creator, requesters = OWNERS[owner]
    decided = "zoe" if state in DECIDED else None
    found = State(
        NOW, True, STATES[state], {"champion": "1", "anchor": "1"}, creator, requesters, decided, None, frozenset({"1"})
    )
    return found._replace(approvals=frozenset({"zoe"})) if state == "approved PASS" else found


def allowed(role: str, change: str, owner: str, state: str) -> bool:
    return any(
        role == one and change in changes and owner in owners and state in states
        for one, changes, owners, states in ALLOWED
    )


@pytest.mark.parametrize(("role", "change"), product(ROLES, CHANGES))
def test_a_role_may_do_what_the_table_allows_and_nothing_else(role: str, change: str) -> None:
    for owner, state in product(OWNERS, STATES):
        reason = refuse(User("me", role), CHANGES[change], state_of(state, owner))
        assert (reason is None) == allowed(role, change, owner, state), (role, change, owner, state, reason)
        if reason is not None:
            assert "\n" not in reason
            assert re.search(r"[;:] ?\w", reason), f"no next action: {reason}"
            assert "demo" in reason or "version 3" in reason or CHANGES[change].key in reason, reason


def test_the_table_has_no_row_for_readers_and_names_only_known_changes_and_states() -> None:
    assert "reader" not in {role for role, *_ in ALLOWED}
    for _, changes, owners, states in ALLOWED:
        assert changes <= set(CHANGES)
        assert owners <= ALL_OWNERS
        assert states <= ALL_STATES


@pytest.mark.parametrize("kind", sorted(SERVER_KINDS))
def test_users_are_the_admins_alone_and_webhooks_the_services_too(kind: str) -> None:
    for role in ROLES:
        reason = refuse(User("me", role), Change(kind, details={"username": "ann"}), State(NOW))
        keeps_its_own = role == "service" and "webhook" in kind
        assert (reason is None) == (role == "admin" or keeps_its_own)


@pytest.mark.parametrize("role", ROLES)
def test_everybody_may_change_their_own_password(role: str) -> None:
    assert refuse(User("me", role), Change("set_password", details={"username": "me"}), State(NOW)) is None


def test_the_first_champion_is_a_base_model_and_nothing_else() -> None:
    change, service = CHANGES["champion"], User("me", "service")
    assert refuse(service, change, State(NOW, tags=STATES["base"])) is None
    assert "nobody approved" in str(refuse(service, change, State(NOW, tags=STATES["asked PASS"])))
    second = State(NOW, tags=STATES["base"], aliases={"champion": "1"})
    assert "nobody approved" in str(refuse(service, change, second))


def test_champion_goes_back_to_what_served_and_to_previous() -> None:
    change, service = CHANGES["champion"], User("me", "service")
    served = State(NOW, tags=STATES["rejected PASS"], aliases={"champion": "5"}, served=frozenset({"3"}))
    assert refuse(service, change, served) is None
    previous = State(NOW, tags=STATES["rejected PASS"], aliases={"champion": "5", "previous": "3"})
    assert refuse(service, change, previous) is None


@pytest.mark.parametrize("alias", ["previous", "anchor"])
def test_previous_and_anchor_follow_champion_and_are_no_way_to_it(alias: str) -> None:
    change, service = CHANGES[alias], User("me", "service")
    state = State(NOW, tags=STATES["approved PASS"], aliases={"champion": "5", "anchor": "1"}, decided_by="zoe")
    assert "never served" in str(refuse(service, change, state))
    assert refuse(service, change, state._replace(served=frozenset({"3"}))) is None
    assert refuse(service, change, state._replace(aliases={"champion": "3", "anchor": "1"})) is None
    base = State(NOW, tags=STATES["base"])
    assert (refuse(service, change, base) is None) == (alias == "anchor")
    # champion does not move to what anchor names
    moved = state._replace(aliases={"champion": "5", "anchor": "3"}, decided_by=None)
    assert "nobody approved" in str(refuse(service, CHANGES["champion"], moved))


def test_an_approval_that_no_line_of_the_ledger_knows_moves_no_champion() -> None:
    forged = State(NOW, tags=STATES["approved PASS"], aliases={"champion": "1"}, decided_by=None)
    assert "nobody approved" in str(refuse(User("me", "service"), CHANGES["champion"], forged))


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_what_an_alias_points_to_is_deleted_by_nobody(alias: str) -> None:
    state = State(NOW, aliases={alias: "3"})
    for kind in ("delete_version", "delete_model"):
        for role in ROLES:
            reason = refuse(User("me", role), Change(kind, "demo", "3"), state)
            assert reason is not None
            assert role != "admin" or alias in reason


def test_an_admin_deletes_a_model_without_our_aliases() -> None:
    assert refuse(User("me", "admin"), Change("delete_model", "demo"), State(NOW)) is None


def test_the_waiver_is_signed_with_the_name_in_the_ledger_only() -> None:
    for known, expected in (("zoe", True), ("ann", False), (None, False)):
        state = State(NOW, tags=STATES["waived INCONCLUSIVE"], waived_by=known)
        assert (refuse(User("me", "service"), CHANGES["waived by zoe"], state) is None) == expected


def test_other_peoples_models_are_left_to_mlflow_unless_a_tag_of_ours_is_set() -> None:
    others = State(NOW, ours=False)
    for name, change in CHANGES.items():
        claims = any(key.lower().startswith("nightshift.") for key in (change.key, *change.tags))
        reason = refuse(User("me", "reader"), change, others)
        assert (reason is not None) == claims, name


def test_a_kind_without_a_rule_is_refused() -> None:
    assert "not known to the guard" in str(refuse(User("me", "admin"), Change("merge_models", "demo"), State(NOW)))


@pytest.mark.parametrize("now", [NOW + timedelta(hours=1), NOW + timedelta(hours=1, microseconds=1)])
def test_a_request_is_expired_from_its_very_last_moment_on(now: datetime) -> None:
    state = state_of("asked PASS", "of another")._replace(now=now)
    assert "expired" in str(refuse(User("me", "approver"), CHANGES["approve"], state))


@pytest.mark.parametrize("expires", ["never", "2026-13-01", "2027-01-01T00:00:00", ""])
def test_an_expiry_that_is_no_time_with_a_zone_counts_as_expired(expires: str) -> None:
    state = State(NOW, tags=tags("PASS", approval="requested", approval__expires=expires), creator="ann")
    assert "expired" in str(refuse(User("me", "approver"), CHANGES["approve"], state))


# --- whatever the tags say ---

texts = st.text(max_size=12)
values = st.sampled_from(["approved", "requested", "true", "PASS", "INCONCLUSIVE", "candidate", LATER, EARLIER]) | texts
known_keys = st.sampled_from(sorted({key for one in STATES.values() for key in one}))
any_tags = st.dictionaries(known_keys | texts, values, max_size=8)
names = st.sampled_from(["me", "ann", "zoe"])
states = st.builds(
    State,
    st.just(NOW),
    st.just(True),
    any_tags,
    st.dictionaries(st.sampled_from(sorted(ALIASES)), st.sampled_from("123"), max_size=3),
    names | st.none(),
    st.frozensets(names),
    names | st.none(),
    names | st.none(),
    st.frozensets(st.sampled_from("123")),
    st.frozensets(names),
    st.booleans(),
    st.builds(
        ApprovalSpec,
        approvers=st.integers(1, 3),
        roles=st.sampled_from([("approver",), ("approver:leads",), ("approver", "approver:leads")]),
        waiver_roles=st.sampled_from([(), ("approver",), ("approver:leads",)]),
        expires_hours=st.sampled_from([1.0, 72.0]),
        requester_may_approve=st.just(False),
        auto=st.none(),
    ),
)
roles = st.sampled_from(ROLES)


@settings(deadline=None)
@given(roles, states)
def test_nobody_approves_what_they_registered_or_requested(role: str, state: State) -> None:
    if state.creator in {"me", None} or "me" in state.requesters:
        assert refuse(User("me", role), CHANGES["approve"], state) is not None


@settings(deadline=None)
@given(roles, states)
def test_only_an_approver_approves_and_only_pass_or_waived(role: str, state: State) -> None:
    if refuse(User("me", role), CHANGES["approve"], state) is None:
        assert role == "approver"
        verdict = state.tags["nightshift.verdict"]
        assert verdict == "PASS" or (verdict == "INCONCLUSIVE" and state.tags["waiver"].strip())


@settings(deadline=None)
@given(roles, states, st.sampled_from(sorted(ALIASES)), st.sampled_from(["set_alias", "delete_alias"]))
def test_only_the_service_account_touches_the_three_aliases(role: str, state: State, alias: str, kind: str) -> None:
    change = Change(kind, "demo", "3" if kind == "set_alias" else "", alias=alias)
    if refuse(User("me", role), change, state) is None:
        assert role == "service"


@settings(deadline=None)
@given(roles, states, st.sampled_from(sorted(WRITE_ONCE)), values, values)
def test_a_tag_that_binds_the_evidence_is_never_changed(
    role: str, state: State, key: str, before: str, after: str
) -> None:
    state = state._replace(tags={**state.tags, key: before})
    if before != after:
        assert refuse(User("me", role), tag(key, after), state) is not None
    assert refuse(User("me", role), Change("delete_version_tag", "demo", "3", key), state) is not None
