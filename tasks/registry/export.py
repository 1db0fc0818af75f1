"""export: a version as files that anybody can load and check, in a folder or on S3.

All files are written first, each only where there is none; the signed manifest comes last. An export without it doesn't
exist, and whoever finds one can rely on every file it names. Started again, an export goes on where it was killed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infra.digest import Digest, digest_bytes
from infra.errors import ObjectConflict
from infra.objects import Objects, check_conditions
from infra.signing import sign_statement, subjects_of
from infra.store import Store
from tasks.errors import ExportError
from tasks.lm.licence import licence_of
from tasks.registry.approval import refuse_promotion
from tasks.registry.client import Registry
from tasks.registry.export_check import PREDICATE_TYPE, public_key, read_statement
from tasks.registry.export_files import EVIDENCE, MANIFEST, README, SIGNED, Source, check_files
from tasks.registry.export_source import (
    Merge,
    State,
    Version,
    approval_of,
    claims,
    export_folder,
    facts_of,
    ledger_line,
    model_files,
    read_version,
)
from tasks.registry.manifest import Line
from tasks.registry.model_card import Approval, Form, Licence, model_card
from tasks.release import POLICY_TAG, ApprovalSpec, release_policy

_MEDIA = {".json": "application/json", ".md": "text/markdown", ".safetensors": "application/octet-stream"}
_LEFT_OVER = "delete it if an attempt that was given up left it there; else find out who did"


class Exported(NamedTuple):
    """An export that is complete.

    Attributes:
        url: of the export's own folder.
        sent: files that were written by this call; none where it was complete before.
        statement: digest of the signed statement's file.
    """

    url: str
    state: State
    sent: tuple[str, ...]
    statement: Digest


class Parts(NamedTuple):
    """What is written: the model's files, and what the export says of them, in the order of writing."""

    files: Mapping[str, Source]
    texts: Mapping[str, bytes]

    def digests(self) -> dict[str, Digest]:
        return {name: file.digest for name, file in self.files.items()} | {
            name: digest_bytes(data) for name, data in self.texts.items()
        }


def export_version(
    registry: Registry,
    number: int,
    objects: Objects,
    store: Store,
    home: Path,
    merge: Merge,
    *,
    form: Form = "merged",
    unapproved: bool = False,
    approval: Approval | None = None,
    line: Line | None = None,
) -> Exported:
    """Export a version under ``NAME/VERSION-MODEL/``. Safe to repeat: a complete export is found and left as it is.

    Args:
        objects: where to.
        merge: lays a model out as one folder as it serves: merged, checked against base and adapter, and rounded to the
            GGUF type that it is given.
        form: a base model is whole in either.
        unapproved: export what nobody has approved, marked as such.
        approval: who approved; unset: as the version's tags say.
        line: of the recipe's ledger, about this version; unset: its promotion's, else its night's decision.

    Raises:
        NotPromotable: the evidence or an object of it is missing or was changed.
        ExportError: the version isn't approved, has a file that must not be exported, or other bytes lie there already.
    """
    version = read_version(registry, number, store)
    policy = release_policy(registry.model_tag(POLICY_TAG)).approval
    state = state_of(version, policy, unapproved=unapproved)
    form = "merged" if state == "base" else form
    folder = export_folder(version.name, number, version.model.digest, form, state)
    known = claims(version, form, state)
    url = f"{objects.url.rstrip('/')}/{folder}"
    done = find_export(objects, folder, known, home)
    if done is not None:
        return Exported(url, state, (), done)
    approval = (approval or approval_of(version.tags)) if state == "approved" else None
    parts = parts_of(version, form, approval, store, home, merge)
    predicate = known | _decision(approval, line or ledger_line(home, version))
    sent = _send_all(objects, folder, parts)
    envelope = json.dumps(sign_statement(parts.digests(), PREDICATE_TYPE, predicate, home), indent=1).encode()
    try:
        objects.put(f"{folder}/{SIGNED}", envelope, absent=True, media="application/json")
    except ObjectConflict:
        # another export of this version was quicker: it must be as good as this one
        return Exported(url, state, sent, find_export(objects, folder, known, home) or digest_bytes(envelope))
    return Exported(url, state, (*sent, SIGNED), digest_bytes(envelope))


def state_of(version: Version, policy: ApprovalSpec, *, unapproved: bool) -> State:
    """What the version may be exported as.

    Raises:
        ExportError: it isn't approved, and was not asked for as such.
    """
    if version.evidence is None:
        return "base"
    # against the champion it was judged against: an export moves nothing
    reason = refuse_promotion(version.tags, version.number, version.evidence, version.evidence.champion, policy)
    if reason is None:
        return "approved"
    if not unapproved:
        raise ExportError(reason, do="let it be approved first, or export it with --unapproved, marked as such")
    return "unapproved"


def find_export(objects: Objects, folder: str, known: Mapping[str, Any], home: Path) -> Digest | None:
    """The signed statement's digest where this very export is complete; None where there is none yet.

    Raises:
        ExportError: another export lies there, a file of it is missing, or another lies beside it.
    """
    held = objects.get(f"{folder}/{SIGNED}")
    if held is None:
        return None
    where = f"{objects.url.rstrip('/')}/{folder}"
    do = f"look at it (`nightshift export --verify {where}`); delete it, or export elsewhere"
    statement = read_statement(held.data, public_key(home))
    for name, value in known.items():
        found = statement["predicate"].get(name)
        if found != value:
            raise ExportError(f"{where} was exported with {name} = {found!r}, now it is {value!r}", do=do)
    names = {*subjects_of(statement), SIGNED}
    _refuse_others(objects, folder, names, do)
    missing = names - _names(objects, folder)
    if missing:
        raise ExportError(f"{where} is signed, and lacks {', '.join(sorted(missing))}", do=do)
    return digest_bytes(held.data)


def parts_of(version: Version, form: Form, approval: Approval | None, store: Store, home: Path, merge: Merge) -> Parts:
    """Everything that will be written but the signature. The same version gives the same bytes."""
    files = model_files(version, form, store, merge)
    found = licence_of(version.model.base, home, store)
    files |= {one.path: Source(store.path(one.digest_), one.digest_, one.size) for one in found.files}
    check_files(files, version.what)
    names = tuple(one.path for one in found.files)
    licence = Licence(found.name, found.said_by, names) if found.said_by else None
    texts = {README: model_card(facts_of(version, form, store, approval, licence)).encode()}
    if version.evidence_blob is not None:
        texts[EVIDENCE] = store.read_bytes(version.evidence_blob)
    return Parts(files, texts | {MANIFEST: _manifest(version, files, texts)})


def _manifest(version: Version, files: Mapping[str, Source], texts: Mapping[str, bytes]) -> bytes:
    listed = {name: (file.digest, file.size) for name, file in files.items()}
    listed |= {name: (digest_bytes(data), len(data)) for name, data in texts.items()}
    manifest = {
        "form": "nightshift/export/1",
        "name": version.name,
        "version": version.number,
        "model": version.model.digest,
        "files": [
            {"path": name, "sha256": digest.removeprefix("sha256:"), "size": size}
            for name, (digest, size) in sorted(listed.items())
        ],
    }
    return (json.dumps(manifest, indent=1) + "\n").encode()


def _decision(approval: Approval | None, line: Line | None) -> dict[str, Any]:
    found = approval or Approval((), None)
    return {
        "approvers": list(found.by),
        "approved_at": found.at,
        "waiver": {"by": found.waived_by, "reason": found.waiver} if found.waiver else None,
        "ledger": {"seq": line.seq, "digest": line.digest_} if line else None,
    }


def _send_all(objects: Objects, folder: str, parts: Parts) -> tuple[str, ...]:
    _refuse_others(objects, folder, {*parts.files, *parts.texts}, _LEFT_OVER)
    check_conditions(objects)
    digests = parts.digests()
    contents = {name: file.path for name, file in parts.files.items()} | dict(parts.texts)
    return tuple(
        name for name, content in contents.items() if _send(objects, f"{folder}/{name}", content, digests[name])
    )


def _send(objects: Objects, key: str, content: Path | bytes, digest: Digest) -> bool:
    """Write a file where there is none; False where an equal one is there.

    Raises:
        ExportError: a different one is there.
    """
    media = _MEDIA.get(Path(key).suffix, "text/plain")
    found = objects.digest(key)
    if found is None:
        try:
            if isinstance(content, Path):
                objects.put_file(key, content, absent=True, media=media)
            else:
                objects.put(key, content, absent=True, media=media)
            return True
        except ObjectConflict:
            found = objects.digest(key)  # another export was quicker; is it the same file?
    if found != digest:
        raise ExportError(
            f"{objects.url.rstrip('/')}/{key} is there already and is another file: {found}, not {digest}",
            do=_LEFT_OVER,
        )
    return False


def _names(objects: Objects, folder: str) -> set[str]:
    return {key.removeprefix(f"{folder}/") for key in objects.keys(f"{folder}/")}


def _refuse_others(objects: Objects, folder: str, ours: set[str], do: str) -> None:
    """A loader may prefer a file that nobody gated: nothing else may lie there."""
    others = _names(objects, folder) - ours
    if others:
        where = f"{objects.url.rstrip('/')}/{folder}"
        raise ExportError(f"{where} holds {', '.join(sorted(others))}, which is no part of this export", do=do)
