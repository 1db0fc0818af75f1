"""Signed statements about files: an in-toto statement in a DSSE envelope, signed with Ed25519.

The private key is made on first use and stays on this machine; whoever verifies needs the public one beside it. Any
tool that reads DSSE and in-toto can verify without us.
"""

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey  # pyright: ignore[reportPrivateImportUsage]

from infra.digest import Digest, canonical_json
from infra.errors import SigningError
from infra.files import create_private, private_text, sync_folder

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def private_key_path(home: Path) -> Path:
    return home / "guard" / "signing.pem"


def public_key_path(home: Path) -> Path:
    """To be handed to whoever verifies."""
    return home / "guard" / "signing.pub.pem"


def sign_statement(
    subjects: Mapping[str, Digest], predicate_type: str, predicate: Mapping[str, Any], home: Path
) -> dict[str, Any]:
    """Say something about files, and sign it with this machine's key.

    Args:
        subjects: the files' names and digests.
        predicate_type: URI that says what kind of statement it is.
        predicate: what is said, as JSON.
        home: folder of all state; the key is in it, made if there is none.

    Returns:
        The envelope, as JSON.

    Raises:
        SigningError: a subject has no name or digest, or the key can't be used.
        BadSetting: others may read the key.
        UnstableValue: the predicate has no canonical form.
    """
    payload = canonical_json(statement(subjects, predicate_type, predicate))
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(signing_key(home)))
    return envelope.to_dict()


def statement(subjects: Mapping[str, Digest], predicate_type: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    """The in-toto statement, unsigned.

    Raises:
        SigningError: it would say nothing about anything; names the subject.
    """
    if not subjects:
        raise SigningError("a statement about no files was to be signed", do="give at least one name and its digest")
    if "://" not in predicate_type:
        raise SigningError(
            f"the predicate type {predicate_type!r} is no URI", do="write one like `https://host/type/v1`"
        )
    for name, digest in subjects.items():
        if not name or not _DIGEST.fullmatch(digest):
            raise SigningError(
                f"the subject {name!r} has the digest {digest!r:.100}", do="give a name, and `sha256:` with 64 digits"
            )
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
            for name, digest in sorted(subjects.items())
        ],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def subjects_of(signed: Mapping[str, Any]) -> dict[str, Digest]:
    """Names and digests of a statement that ``verify_envelope`` returned."""
    return {one["name"]: "sha256:" + one["digest"]["sha256"] for one in signed["subject"]}


def verify_envelope(envelope: Mapping[str, Any], public_key_pem: str | bytes) -> dict[str, Any]:
    """The statement in an envelope, exactly as the key's owner signed it.

    Raises:
        SigningError: it was signed with another key, changed, or isn't a signed in-toto statement.
    """
    key = SSlibKey.from_crypto(_public_key(public_key_pem))
    try:
        # `from_dict` writes into what it reads
        parsed = Envelope.from_dict(copy.deepcopy(dict(envelope)))
    except (KeyError, TypeError, ValueError, AttributeError, FormatError) as error:
        raise _refused(f"it is no DSSE envelope ({type(error).__name__}: {error})") from error
    if parsed.payload_type != PAYLOAD_TYPE:
        raise _refused(f"its payload is {parsed.payload_type!r:.100}, not {PAYLOAD_TYPE}")
    if key.keyid not in parsed.signatures:
        signers = ", ".join(name[:12] for name in parsed.signatures) or "nobody"
        raise _refused(f"it was signed by {signers:.100}, not by the key {key.keyid[:12]}")
    try:
        parsed.verify([key], 1)
    except VerificationError as error:
        raise _refused("it was changed after it was signed, or another key signed it") from error
    return _statement(parsed.payload)


def public_key(home: Path) -> str:
    """This machine's public key (PEM), made with the private one where there is none."""
    signing_key(home)
    return public_key_path(home).read_text()


def signing_key(home: Path) -> Ed25519PrivateKey:
    """This machine's key, made on first use: by one process, however many ask at once.

    Raises:
        SigningError: the file holds no Ed25519 key, or the public one beside it belongs to another.
        BadSetting: others may read it.
    """
    path = private_key_path(home)
    text = private_text(path)
    if text is None:
        create_private(path, CryptoSigner.generate_ed25519().private_bytes.decode())
        text = private_text(path) or ""
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path, str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, f"it is a {type(key).__name__}")
    _publish(key, public_key_path(home))
    return key


def _publish(key: Ed25519PrivateKey, path: Path) -> None:
    """Have the public key beside the private one. Another's there would let another's signatures pass as ours."""
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if not path.exists():
        create_private(path, pem.decode())
        path.chmod(0o644)
        sync_folder(path.parent)
    if path.read_bytes() != pem:
        raise SigningError(
            f"{path} doesn't belong to the private key beside it",
            do="find out who changed it; remove it to have it written again",
        )


def _public_key(pem: str | bytes) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"the public key can't be read: {error}", do="give the PEM of an Ed25519 key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError(f"the public key is a {type(key).__name__}", do="give the PEM of an Ed25519 key")
    return key


def _statement(payload: bytes) -> dict[str, Any]:
    """The signed bytes as a statement: a signature on something else is no statement about files."""
    try:
        found = json.loads(payload)
    except ValueError as error:
        raise _refused(f"its payload is no JSON: {error}") from error
    kind = found.get("_type") if isinstance(found, dict) else type(found).__name__
    if kind != STATEMENT_TYPE:
        raise _refused(f"it says {kind!r:.100}, not {STATEMENT_TYPE}")
    return found


def _refused(why: str) -> SigningError:
    return SigningError(
        f"the signed statement can't be trusted: {why}",
        do="get the envelope and the public key again from where they were made; use nothing that it speaks of",
    )


def _no_key(path: Path, why: str) -> SigningError:
    return SigningError(
        f"{path} holds no Ed25519 key: {why}", do="put back a copy of it, or move it away to have a new key made"
    )
