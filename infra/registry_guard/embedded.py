"""The guard without a server: runs on a SQLite file go by the same rules and write the same ledger.

Whoever may write the file could go around it, as the file has no users. What it gives is one history: a version that
an embedded night registered has a known owner once a server with logins is started on the same files, and a change
made past it is found by the audit.
"""

import functools
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from infra.errors import NightshiftError
from infra.registry_guard.books import stale, write_books
from infra.registry_guard.changes import Change
from infra.registry_guard.journal import Asking, Journal, journal_path, utc_now
from infra.registry_guard.locks import ModelLocks
from infra.registry_guard.policy import refuse
from infra.registry_guard.sight import models_of_ours, see, state_of
from infra.registry_guard.terms import User, canonical

T = TypeVar("T")

METHOD, ROUTE = "EMBEDDED", "file"  # where a request's method and path stand
_MADE = 200  # as an answer of the server says it


class Refused(NightshiftError):
    """The guard doesn't allow a change of the registry."""


class EmbeddedGuard:
    """Judges and records the changes of one process, made by one account.

    Args:
        store: MLflow's registry store, as its client holds it.
    """

    def __init__(self, home: Path, store: Any, user: User) -> None:
        self.user = user
        self._store = store
        self._locks = ModelLocks(home / "guard" / "locks")
        self._journal = Journal(journal_path(home))

    def made(self, change: Change, make: Callable[[], T], expected: str | None = None) -> T:
        """Make a change: judged, written down, made, and how it ended written down.

        Args:
            make: makes it, by MLflow's client; what it returns is returned.
            expected: of an alias, the version it must name until then; ``none`` for none.

        Raises:
            Refused: the rules don't allow it, or the alias names another version by now.
        """
        asking = Asking(uuid.uuid4().hex, self.user, METHOD, ROUTE, change)
        with self._locks.hold(canonical(change.model)):
            seen = see(self._store, change)
            state = self._journal.look(lambda facts: state_of(change, seen, facts, self._scanned, utc_now()))
            if reason := refuse(self.user, change, state) or stale(change, seen.aliases, expected):
                self._journal.refused(asking, reason, 403)
                what, _, do = reason.rpartition("; ")
                raise Refused(what or reason, do=do or "look again and decide anew")
            if state.ours:
                write_books(self._journal, self._store, asking, state)
            self._journal.asked(asking, seen.shown, state.ours)
            made = make()
            self._journal.done(asking, _MADE, self._ended(change, made))
            return made

    def _ended(self, change: Change, made: Any) -> Mapping[str, Any]:
        if change.kind == "create_version":
            created, description = str(made.creation_timestamp), made.description or ""
            return {"version": str(made.version), "created": created, "description": description}
        return see(self._store, change).shown

    @functools.cached_property
    def _scanned(self) -> frozenset[str]:
        return models_of_ours(self._store)
