"""Check an export: the signature, every file against its signed digest, and nothing else beside them."""

import json
from pathlib import Path
from typing import Any

from infra.digest import Digest
from infra.errors import NightshiftError
from infra.objects import Objects
from infra.signing import public_key_path, subjects_of, verify_envelope
from tasks.errors import ExportError
from tasks.registry.export_files import OWN, SIGNED, refuse_name

PREDICATE_TYPE = "nightshift://export/v1"


def verify_export(objects: Objects, key: bytes, folder: str = "") -> list[str]:
    """What is wrong with an export, a sentence each; nothing where every file is what the signed statement says.

    Args:
        objects: where it is; ``folder`` within.
        key: the signer's public key, PEM.
    """
    at = f"{folder}/" if folder else ""
    try:
        held = objects.get(at + SIGNED)
        if held is None:
            return [f"{SIGNED} is missing: there is no export here, or not yet"]
        subjects = subjects_of(read_statement(held.data, key))
        there = {one.removeprefix(at) for one in objects.keys(at)}
    except NightshiftError as error:
        return [error.what]
    problems = [f"{name} is missing" for name in sorted(subjects.keys() - there)]
    problems += [f"{name} is no part of the export" for name in sorted(there - subjects.keys() - {SIGNED})]
    problems += [reason for name in sorted(subjects.keys() - OWN) if (reason := refuse_name(name))]
    for name in sorted(subjects.keys() & there):
        found = _digest_at(objects, at + name)
        if found != subjects[name]:
            problems.append(f"{name} was changed: it is {found}, and {subjects[name]} was signed")
    return problems


def read_statement(data: bytes, key: bytes) -> dict[str, Any]:
    """The signed statement of an export.

    Raises:
        NightshiftError: it can't be read, another key has signed it, or it is about something else.
    """
    try:
        envelope = json.loads(data)
    except ValueError as error:
        raise ExportError(
            f"{SIGNED} can't be read: {error!s:.100}", do="put back a copy, or delete the export and make it anew"
        ) from None
    statement = verify_envelope(envelope, key)
    if statement.get("predicateType") != PREDICATE_TYPE:
        raise ExportError(
            f"{SIGNED} is a statement of the kind {statement.get('predicateType')!r:.100}, not {PREDICATE_TYPE}",
            do="name the folder of an export",
        )
    return statement


def public_key(home: Path, named: Path | None = None) -> bytes:
    """The key that checks what this place signs, or the one that was named.

    Raises:
        ExportError: it can't be read, or nothing was signed here yet.
    """
    path = named or public_key_path(home)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportError(
            f"the public key {path} can't be read: {error.strerror}",
            do="name the signer's with --key; it lies where the export was made, at HOME/guard/signing.pub.pem",
        ) from None


def _digest_at(objects: Objects, key: str) -> Digest | str | None:
    """The digest of what is there, or why it can't be read."""
    try:
        return objects.digest(key)
    except NightshiftError as error:
        return error.what
