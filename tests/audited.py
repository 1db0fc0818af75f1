"""A small world to audit: a real registry on SQLite, changed the way the guard's server changes it, and its records."""

import shutil
import sqlite3
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from infra.digest import digest_of
from infra.ledger import Entry, append, ledger_path, read_ledger
from infra.registry_guard.changes import Change
from infra.registry_guard.journal import Asking, Journal, journal_path
from infra.registry_guard.sight import see
from infra.registry_guard.terms import User
from infra.store import Blob, Store
from tasks.contracts import Evidence, Model, ScorecardRef, Verdict
from tasks.registry.auditing import Report, run_audit
from tasks.registry.client import model_tags
from tasks.registry.manifest import Line, Manifest, Served, Share, write_manifest

TRAINER, APPROVER, SERVICE, ADMIN = (
    User("ann", "trainer"),
    User("zoe", "approver"),
    User("service", "service"),
    User("root", "admin"),
)


class Guarded:
    """A registry whose every change goes through the journal, as in the guard's server."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = home / "mlflow.db"
        uri = f"sqlite:///{self.database}"
        self.client = MlflowClient(uri)
        self.look = SqlAlchemyStore(uri)
        self.journal = Journal(journal_path(home))

    def do(self, user: User, change: Change, *, description: str = "", die: str = "", status: int = 200) -> Any:
        """Make a change.

        Args:
            die: ``before`` or ``after`` it is made, in both cases before its end is written.
            status: what MLflow answers; from 400 nothing is made.
        """
        asking = Asking(uuid.uuid4().hex, user, "POST", "/api/2.0/mlflow/x", change)
        self.journal.asked(asking, see(self.look, change).shown, ours=True)
        if die == "before":
            return None
        made = self._make(change, description) if status < 400 else None
        if die == "after":
            return made
        after = dict(see(self.look, change).shown)
        if change.kind == "create_version" and made is not None:
            after = {"version": made.version, "created": str(made.creation_timestamp), "description": description}
            after["version"] = str(after["version"])
        self.journal.done(asking, status, after)
        return made

    def _make(self, change: Change, description: str) -> Any:
        client, name, version = self.client, change.model, change.version
        match change.kind:
            case "create_model":
                return client.create_registered_model(name, tags=dict(change.tags), description=description)
            case "update_model":
                return client.update_registered_model(name, description)
            case "delete_model":
                return client.delete_registered_model(name)
            case "set_model_tag":
                return client.set_registered_model_tag(name, change.key, change.value)
            case "create_version":
                tags = dict(change.tags)
                return client.create_model_version(name, "store:/x", tags=tags, description=description)
            case "update_version":
                return client.update_model_version(name, version, description)
            case "delete_version":
                return client.delete_model_version(name, version)
            case "set_version_tag":
                return client.set_model_version_tag(name, version, change.key, change.value)
            case "delete_version_tag":
                return client.delete_model_version_tag(name, version, change.key)
            case "set_alias":
                return client.set_registered_model_alias(name, change.alias, version)
            case "delete_alias":
                return client.delete_registered_model_alias(name, change.alias)
            case other:
                raise AssertionError(other)

    def sql(self, statement: str, *values: Any) -> None:
        """Go around the guard, straight into the database."""
        with sqlite3.connect(self.database) as database:
            assert database.execute(statement, values).rowcount > 0, statement

    def bytes(self) -> list[str]:
        with sqlite3.connect(self.database) as database:
            return list(database.iterdump())


class World(Guarded):
    """A model ``shop`` with version 1 (base, first champion) and 2 (promoted), version 3 awaiting approval."""

    name = "shop"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.store = Store(home / "store")
        base, adapter = home / "base", home / "adapter"
        for folder in (base, adapter):
            folder.mkdir(exist_ok=True)
            (folder / "weights").write_text(folder.name)
        self.base = Model(base=self.store.put_tree(base))
        self.model = Model(base=self.base.base, adapter=self.store.put_tree(adapter))
        self.card = self.store.put_bytes(b"a card")

    @classmethod
    def copied(cls, template: "World", home: Path) -> "World":
        """Building one takes seconds: MLflow's schema, and some twenty changes."""
        shutil.copytree(template.home, home, dirs_exist_ok=True)
        return cls(home)

    def build(self) -> "World":
        self.do(SERVICE, Change("create_model", self.name), description="Nightshift")
        tags = {"nightshift.role": "base", "nightshift.key": "base", **model_tags(self.base, None, self.store)}
        self.do(SERVICE, Change("create_version", self.name, tags=tags), description="the base")
        for alias in ("anchor", "champion"):
            self.do(SERVICE, Change("set_alias", self.name, "1", alias=alias))
        self.do(SERVICE, Change("set_model_tag", self.name, key="nightshift.initialised", value="at noon"))
        self.register("2")
        self.promote("2")
        self.register("3")
        return self

    def evidence_of(self, version: str) -> Blob:
        return Blob.model_validate_json(self.tags(version)["nightshift.evidence"])

    def tags(self, version: str) -> Mapping[str, str]:
        return see(self.look, Change("set_version_tag", self.name, version, "approval", "x")).tags

    def register(self, key: str) -> str:
        evidence = self._evidence(key)
        blob = self.store.put_bytes(evidence.model_dump_json().encode())
        tags = {
            "nightshift.key": key,
            "nightshift.role": "candidate",
            "nightshift.verdict": "PASS",
            "nightshift.evidence": blob.model_dump_json(),
            "approval": "requested",
            **model_tags(self.model, evidence.trained_on, self.store),
        }
        made = self.do(TRAINER, Change("create_version", self.name, tags=tags), description="no worse")
        return str(made.version)

    def _evidence(self, key: str) -> Evidence:
        any_ = digest_of(key)
        verdict = Verdict.model_validate(
            {
                "verdict": "PASS", "paragraph": "", "suites": (), "waivable": False, "problems": (), "alpha": 0.05,
                "anchor_z": 2.9, "candidate": self.model.digest, "champion": self.base.digest,
                "anchor": self.base.digest, "cards": (self.card.digest_,),
            }
        )  # fmt: skip
        card = ScorecardRef(
            role="candidate", suite="s", model=self.model.digest, items=any_, scorer=any_, card=self.card
        )
        return Evidence(
            night=any_, recipe=any_, snapshot=any_, preferences=any_, model=self.model, champion=self.base.digest,
            anchor=self.base.digest, cards=(card,), verdict=verdict, trained_on=self.store.put_bytes(b"pairs"),
            promotable=True,
        )  # fmt: skip

    def alias(self, alias: str) -> str | None:
        return see(self.look, Change("set_alias", self.name, "1", alias=alias)).aliases.get(alias)

    def tag(self, user: User, version: str, key: str, value: str, **how: Any) -> None:
        self.do(user, Change("set_version_tag", self.name, version, key, value), **how)

    def line(self, kind: str, version: str, was: str, by: str) -> Entry:
        model = self.base if version == "1" else self.model
        body = {"version": int(version), "was": int(was), "model": model.digest, "by": by, "night": ""}
        return append(ledger_path(self.home, self.name), kind, body, datetime.now(UTC))

    def promote(self, version: str, by: str = "zoe") -> None:
        """What the service does on an approval: ledger, aliases, manifest."""
        self.tag(APPROVER, version, "approval", "approved")
        self.tag(SERVICE, version, "approval.by", by)
        was = self.alias("champion") or ""
        self.move("promotion", version, was, by)

    def rollback(self, by: str = "cat") -> None:
        to, was = self.alias("previous") or "", self.alias("champion") or ""
        self.move("rollback", to, was, by)

    def move(self, kind: str, version: str, was: str, by: str) -> None:
        line = self.line(kind, version, was, by)
        self.do(SERVICE, Change("set_alias", self.name, was, alias="previous"))
        self.do(SERVICE, Change("set_alias", self.name, version, alias="champion"))
        self.manifest(line, version, was, by)

    def manifest(self, line: Entry, version: str, was: str, by: str) -> None:
        tags = self.tags(version)
        evidence = tags.get("nightshift.evidence")
        write_manifest(
            self.home,
            Manifest(
                name=self.name,
                version=int(version),
                model=tags["nightshift.model"],
                model_ref=Blob.model_validate_json(tags["nightshift.model_ref"]),
                evidence=Blob.model_validate_json(evidence) if evidence else None,
                verdict=tags.get("nightshift.verdict"),
                move="rollback" if line.kind == "rollback" else "promotion",
                by=by,
                at=line.at,
                ledger=Line(seq=line.seq, digest_=line.digest),
                previous=Served(version=int(was), model=self.base.digest),
                traffic=(Share(version=int(version), share=1.0),),
            ),
        )

    def audit(self, name: str = "") -> Report:
        return run_audit(self.client, self.home, self.store, name)

    def lines(self) -> list[str]:
        return journal_path(self.home).read_text().splitlines(keepends=True)

    def write_lines(self, lines: list[str]) -> None:
        journal_path(self.home).write_text("".join(lines))

    def ledger(self) -> tuple[Entry, ...]:
        return read_ledger(ledger_path(self.home, self.name))
