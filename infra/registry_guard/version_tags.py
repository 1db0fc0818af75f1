"""Who may set which tag of a version of ours: trainers ask, approvers decide, the service account keeps the books."""

from datetime import timedelta

from infra.registry_guard.approval_spec import holds_role
from infra.registry_guard.changes import Change
from infra.registry_guard.terms import PREFIX, WRITE_ONCE, State, User, name_or_nobody, reason_of, time_of, who, words


def refuse_tag(user: User, change: Change, state: State) -> str | None:
    before = state.tags.get(change.key)
    if change.key in WRITE_ONCE and before is not None and before != change.value:
        return (
            f"{change.key} of version {change.version} of {change.model} is {before!r:.60} and binds its evidence: "
            "nobody may change it; register a new version"
        )
    if user.role == "trainer" and _decides(change) and state.policy.requester_may_approve:
        return _approver_tag(user, change, state)
    by_role = {"trainer": _trainer_tag, "service": _service_tag, "approver": _approver_tag}
    if user.role not in by_role:
        return f"{who(user)} may not {words(change)}: ask an admin for another role"
    return by_role[user.role](user, change, state)


def _trainer_tag(user: User, change: Change, state: State) -> str | None:
    asks = change.key == "approval" and change.value == "requested"
    if not (change.key.startswith(PREFIX) or asks or change.key == "approval.expires"):
        return (
            f"{who(user)} may not {words(change)}: trainers set nightshift.* and approval = requested; ask an approver"
        )
    if state.creator != user.name:
        return (
            f"{who(user)} may not {words(change)}: {name_or_nobody(state.creator)} registered it; "
            "tag the versions that you registered"
        )
    if change.key == "approval.expires":
        if "approval.expires" in state.tags:
            return f"version {change.version} expires at {state.tags['approval.expires']} already; ask the operator"
        return expiry_problem(change.value, state)
    return _request_problem(change, state) if asks else None


def _decides(change: Change) -> bool:
    return change.key in {"approval.note", "waiver"} or (change.key == "approval" and change.value != "requested")


def _service_tag(user: User, change: Change, state: State) -> str | None:
    decided = state.tags.get("approval", "")
    if change.key == "approval":
        if change.value == "requested":
            return _request_problem(change, state)
        # what was rolled back must not look approved
        if reason_of(change.value):
            return None
        if change.value == "approved" and state.policy.auto is not None:
            return _open_problem(user, change, state) or _decision_problem(change, state)
        return f"the service account may not {words(change)}: it approves nothing; let an approver decide"
    if change.key == "approval.expires":
        if decided not in {"", "requested"}:
            return f"version {change.version} of {change.model} is {decided} already; its expiry stays as it is"
        return expiry_problem(change.value, state)
    if change.key == "approval.at":
        return None if time_of(change.value) else f"approval.at is {change.value!r}; write an ISO time with its zone"
    known = {"approval.by": deciders(state), "waiver.by": state.waived_by}
    if change.key in known:
        if known[change.key] == change.value:
            return None
        said = name_or_nobody(known[change.key])
        return f"{change.key} may not be {change.value!r:.60}: the ledger says {said}; write that name"
    if change.key.startswith(PREFIX):
        return None
    return f"the service account may not {words(change)}: only nightshift.* and approval tags; choose such a key"


def _approver_tag(user: User, change: Change, state: State) -> str | None:
    if change.key not in {"approval", "approval.note", "waiver"}:
        return f"{who(user)} may not {words(change)}: approvers set approval, approval.note and waiver; ask a trainer"
    if state.creator is None:
        return (
            f"the ledger doesn't know who registered version {change.version} of {change.model}, "
            "so nobody may decide on it; register it again through this server"
        )
    own = user.name == state.creator or user.name in state.requesters
    if own and not state.policy.requester_may_approve:
        return (
            f"{user.name} registered version {change.version} of {change.model} or requested its approval, "
            "and may not decide on it; ask another approver"
        )
    wanted = state.policy.waiver_roles if change.key == "waiver" else state.policy.roles
    if not (own or holds_role(user.role, user.group, wanted)):
        return (
            f"{who(user)} may not {words(change)}: the policy of {change.model} leaves that to "
            f"{', '.join(wanted) or 'nobody'}; ask one of them"
        )
    if change.key == "waiver":
        return _waiver_problem(change, state)
    return _open_problem(user, change, state) or (
        _decision_problem(change, state) if change.key == "approval" else None
    )


def _decision_problem(change: Change, state: State) -> str | None:
    if reason_of(change.value):
        return None
    version = f"version {change.version} of {change.model}"
    if change.value != "approved":
        return f"approval of {version} may not be {change.value!r:.60}; write 'approved' or 'rejected: why'"
    if state.tags.get("nightshift.role") != "candidate":
        return f"{version} is no candidate of a night; approve a candidate"
    if state.tags.get("nightshift.promotable") != "true":
        return f"{version} is of a night whose gate was overridden; run a night with the whole gate"
    verdict = state.tags.get("nightshift.verdict", "none")
    if verdict == "PASS" or (verdict == "INCONCLUSIVE" and _waived(state)):
        return None
    if verdict == "INCONCLUSIVE":
        return f"{version} is INCONCLUSIVE; set the tag waiver to the reason first, where nightshift.waivable is true"
    return f"{version} has the verdict {verdict}, which nobody can approve; run a new night"


def _waiver_problem(change: Change, state: State) -> str | None:
    version = f"version {change.version} of {change.model}"
    verdict = state.tags.get("nightshift.verdict", "none")
    if verdict != "INCONCLUSIVE":
        return f"{version} has the verdict {verdict}; a waiver excuses INCONCLUSIVE only, so leave it"
    if state.tags.get("nightshift.waivable") != "true":
        return f"{version} can't be waived: a bound against the anchor does not hold; run a new night"
    if not change.value.strip():
        return f"the waiver of {version} gives no reason; say why"
    if state.tags.get("approval", "requested") != "requested":
        return f"{version} is {state.tags['approval']} already; a waiver comes before the decision"
    return _expired_problem(change, state)


def _open_problem(user: User, change: Change, state: State) -> str | None:
    """A version awaits its decision if that was requested; a waived one is asked for by its waiver."""
    approval = state.tags.get("approval")
    if approval == "approved" and 0 < len(state.approvals) < state.policy.approvers and not state.automatic:
        if user.name not in state.approvals:
            return _expired_problem(change, state)
        return (
            f"{user.name} approved version {change.version} of {change.model} already "
            f"({len(state.approvals)} of {state.policy.approvers}); let another approver decide"
        )
    if approval != "requested" and not (approval is None and _waived(state)):
        return (
            f"version {change.version} of {change.model} does not await a decision "
            f"(approval = {approval or 'not set'}); a night requests it"
        )
    return _expired_problem(change, state)


def _expired_problem(change: Change, state: State) -> str | None:
    text = state.tags.get("approval.expires")
    if text is None:
        return None
    expires = time_of(text)
    if expires is None or not state.now < expires:
        return f"the request for version {change.version} of {change.model} expired at {text}; run a new night"
    return None


def _request_problem(change: Change, state: State) -> str | None:
    approval = state.tags.get("approval")
    if approval in {None, "requested"}:
        if "approval.expires" in state.tags:
            return None
        return f"a request for version {change.version} of {change.model} has no end; set approval.expires first"
    return f"version {change.version} of {change.model} is {approval} already; run a new night to ask again"


def expiry_problem(value: str, state: State) -> str | None:
    expires = time_of(value)
    if expires is None or not state.now < expires:
        return f"approval.expires is {value!r:.60}; write an ISO time in the future, with its zone"
    # clocks of the two machines may differ by a little
    if expires > state.now + timedelta(hours=state.policy.expires_hours, minutes=5):
        return (
            f"approval.expires is {value!r:.60}, and the policy allows {state.policy.expires_hours:g} hours; "
            "write an earlier time"
        )
    return None


def deciders(state: State) -> str | None:
    """Who decided, as ``approval.by`` says it: everybody whose approval counts, else who decided last."""
    return ", ".join(sorted(state.approvals)) or state.decided_by


def books(user: User, change: Change, state: State) -> dict[str, str]:
    """What the guard writes beside a decision, before it: an approval without a name must not exist for a moment."""
    if change.kind != "set_version_tag" or (user.role == "service" and change.value != "approved"):
        return {}
    if change.key == "waiver":
        return {"waiver.by": user.name}
    if change.key != "approval" or change.value == "requested":
        return {}
    names = {user.name, *(state.approvals if change.value == "approved" else ())}
    return {"approval.by": ", ".join(sorted(names)), "approval.at": state.now.isoformat(timespec="seconds")}


def _waived(state: State) -> bool:
    return (
        state.tags.get("nightshift.verdict") == "INCONCLUSIVE"
        and state.tags.get("nightshift.waivable") == "true"
        and bool(state.tags.get("waiver", "").strip())
    )
