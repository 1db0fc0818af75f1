"""A hold keeps serving at the last good manifest: no promotion and no rollback, until a person releases it.

``HOME/serving/NAME.hold.json`` is there while the hold is; the manifest stays what it was. Who held and released is in
``HOME/serving/holds.jsonl``, chained like every ledger.
"""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from infra.digest import Record
from infra.ledger import append_to_tail
from infra.registry_guard.roles import write_private
from tasks.errors import RegistryError
from tasks.registry.findings import Finding


class Hold(Record):
    """Why serving is held. ``version`` is what the manifest served then."""

    form: str = "nightshift/hold/1"
    name: str
    what: str
    do: str
    since: str  # ISO time, UTC
    finding: str  # the incident's id
    version: int | None


def hold_path(home: Path, name: str) -> Path:
    return home / "serving" / f"{name}.hold.json"


def hold(home: Path, name: str, finding: Finding, version: int | None = None) -> Hold:
    """Hold serving; a hold that is there already stays as it is."""
    there = read_hold(home, name)
    if there is not None:
        return there
    now = datetime.now(UTC)
    made = Hold(
        name=name,
        what=finding.what,
        do=finding.do,
        since=now.isoformat(timespec="seconds"),
        finding=finding.id,
        version=version,
    )
    _note(home, "held", {"name": name, "finding": finding.id, "what": finding.what, "version": version})
    write_private(hold_path(home, name), made.model_dump_json(indent=1) + "\n")
    hold_path(home, name).chmod(0o644)
    return made


def read_hold(home: Path, name: str) -> Hold | None:
    """The hold, or None where serving isn't held.

    Raises:
        RegistryError: it can't be read; serving is held then.
    """
    path = hold_path(home, name)
    try:
        return Hold.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError) as error:
        raise RegistryError(
            f"{name} is held, and {path} can't be read: {str(error).splitlines()[0]}",
            do="read HOME/serving/holds.jsonl, run `nightshift audit`, then delete that file knowing why",
        ) from None


def refuse_held(home: Path, name: str) -> None:
    """For whoever moves ``champion`` or writes the manifest.

    Raises:
        RegistryError: serving is held; says why and how it is released.
    """
    found = read_hold(home, name)
    if found is not None:
        raise RegistryError(
            f"serving of {name} is held at version {found.version} since {found.since}: {found.what}",
            do=f"{found.do}; then `nightshift audit --close {found.finding} --reason '...'` releases it",
        )


def release(home: Path, name: str, who: str, reason: str) -> str:
    """Let promotions and rollbacks go on.

    Raises:
        RegistryError: there is no reason, or no hold.
    """
    if not reason.strip():
        raise RegistryError(f"the hold of {name} can't be released without a reason", do="say why")
    found = read_hold(home, name)
    if found is None:
        raise RegistryError(f"{name} is not held", do="nothing is left to do")
    _note(home, "released", {"name": name, "finding": found.finding, "by": who, "reason": reason.strip()})
    hold_path(home, name).unlink()
    return f"{name} is held no more, by {who}: {reason.strip()}"


def _note(home: Path, kind: str, body: dict[str, object]) -> None:
    append_to_tail(home / "serving" / "holds.jsonl", kind, body, lambda: datetime.now(UTC))
