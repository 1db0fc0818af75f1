"""Signed statements: what was signed verifies, also without us; what was changed, or signed by another, does not."""

import base64
import copy
import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from infra.digest import digest_bytes
from infra.errors import BadSetting, SigningError, UnstableValue
from infra.signing import (
    private_key_path,
    public_key,
    public_key_path,
    sign_statement,
    statement,
    subjects_of,
    verify_envelope,
)

SUBJECTS = {"model.safetensors": digest_bytes(b"weights"), "tokenizer.json": digest_bytes(b"{}")}
TYPE = "https://nightshift.example/release/v1"
PREDICATE = {"verdict": "PASS", "cost": 12.5, "night": {"id": "n-1", "suites": ["safety"]}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signing")


@pytest.fixture(scope="module")
def signed(home: Path) -> dict[str, Any]:
    return sign_statement(SUBJECTS, TYPE, PREDICATE, home)


def pae(kind: str, payload: bytes) -> bytes:
    """What is signed, as the DSSE specification spells it: the lengths keep type and payload apart."""
    head = " ".join(["DSSEv1", str(len(kind.encode())), kind, str(len(payload))])
    return head.encode() + b" " + payload


def test_what_was_signed_verifies_and_says_what_was_said(home: Path, signed: dict[str, Any]) -> None:
    found = verify_envelope(signed, public_key(home))
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == TYPE
    assert found["predicate"] == PREDICATE
    assert subjects_of(found) == SUBJECTS


def test_a_verifier_that_knows_only_the_specifications_accepts_it(home: Path, signed: dict[str, Any]) -> None:
    received = json.loads(json.dumps(signed))
    key = serialization.load_pem_public_key(public_key_path(home).read_bytes())
    assert isinstance(key, ed25519.Ed25519PublicKey)
    payload = base64.b64decode(received["payload"], validate=True)
    (signature,) = received["signatures"]
    key.verify(base64.b64decode(signature["sig"], validate=True), pae(received["payloadType"], payload))
    assert received["payloadType"] == "application/vnd.in-toto+json"
    assert json.loads(payload) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}} for name, digest in SUBJECTS.items()
        ],
        "predicateType": TYPE,
        "predicate": PREDICATE,
    }


def test_a_signature_made_without_us_verifies(home: Path, signed: dict[str, Any]) -> None:
    key = serialization.load_pem_private_key(private_key_path(home).read_bytes(), None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    payload = json.dumps(statement({"a": digest_bytes(b"a")}, TYPE, {})).encode()
    signature = base64.b64encode(key.sign(pae("application/vnd.in-toto+json", payload))).decode()
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": signed["signatures"][0]["keyid"], "sig": signature}],
    }
    assert subjects_of(verify_envelope(envelope, public_key(home))) == {"a": digest_bytes(b"a")}


def test_verifying_leaves_the_envelope_as_it_was(home: Path, signed: dict[str, Any]) -> None:
    before = copy.deepcopy(signed)
    for _ in range(2):
        verify_envelope(signed, public_key(home))
    assert signed == before


def payload_of(envelope: dict[str, Any]) -> dict[str, Any]:
    return json.loads(base64.b64decode(envelope["payload"]))


def with_payload(envelope: dict[str, Any], payload: bytes) -> dict[str, Any]:
    return {**envelope, "payload": base64.b64encode(payload).decode()}


def edited(envelope: dict[str, Any]) -> dict[str, Any]:
    said = payload_of(envelope)
    said["predicate"]["verdict"] = "FAIL"
    return with_payload(envelope, json.dumps(said).encode())


def spaced(envelope: dict[str, Any]) -> dict[str, Any]:
    """The same JSON in other bytes."""
    return with_payload(envelope, json.dumps(payload_of(envelope), indent=1).encode())


def signature(envelope: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**envelope, "signatures": [{**envelope["signatures"][0], **changes}]}


CHANGES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (edited, "was changed after it was signed"),
    (spaced, "was changed after it was signed"),
    (lambda one: with_payload(one, b""), "was changed after it was signed"),
    (lambda one: signature(one, sig=base64.b64encode(bytes(64)).decode()), "was changed after it was signed"),
    (lambda one: signature(one, sig=""), "was changed after it was signed"),
    (lambda one: signature(one, keyid="0" * 64), "was signed by 000000000000, not by the key"),
    (lambda one: signature(one, sig=5), "no DSSE envelope"),
    (lambda one: signature(one, sig="%"), "no DSSE envelope"),
    (lambda one: {**one, "payloadType": "text/plain"}, "its payload is 'text/plain'"),
    (lambda one: {**one, "payloadType": ""}, "its payload is ''"),
    (lambda one: {**one, "payloadType": None}, "its payload is None"),
    (lambda one: {**one, "payloadType": "application/vnd.in-toto+json "}, "its payload is "),
    (lambda one: {**one, "signatures": []}, "was signed by nobody"),
    (lambda one: {**one, "signatures": one["signatures"] * 2}, "no DSSE envelope"),
    (lambda one: {**one, "signatures": "ab"}, "no DSSE envelope"),
    (lambda one: {**one, "signatures": None}, "no DSSE envelope"),
    (lambda one: {**one, "signatures": [5]}, "no DSSE envelope"),
    (lambda one: {**one, "payload": 5}, "no DSSE envelope"),
    (lambda one: {**one, "payload": "a"}, "no DSSE envelope"),
    (lambda one: {name: part for name, part in one.items() if name != "payload"}, "no DSSE envelope"),
    (lambda one: {}, "no DSSE envelope"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_an_envelope_that_was_changed_is_refused(
    home: Path, signed: dict[str, Any], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    with pytest.raises(SigningError, match=message):
        verify_envelope(change(copy.deepcopy(signed)), public_key(home))


def test_another_key_is_refused_and_both_are_named(home: Path, signed: dict[str, Any], tmp_path: Path) -> None:
    other = public_key(tmp_path)
    with pytest.raises(SigningError, match=f"signed by {signed['signatures'][0]['keyid'][:12]}, not by the key"):
        verify_envelope(signed, other)
    # and the name of a key alone is worth nothing
    forged = sign_statement(SUBJECTS, TYPE, PREDICATE, tmp_path)
    forged["signatures"][0]["keyid"] = signed["signatures"][0]["keyid"]
    with pytest.raises(SigningError, match="another key signed it"):
        verify_envelope(forged, public_key(home))


@given(st.data())
def test_no_bit_of_what_is_signed_can_be_flipped(home: Path, signed: dict[str, Any], data: st.DataObject) -> None:
    envelope = copy.deepcopy(signed)
    part = data.draw(st.sampled_from(["payload", "sig"]))
    held = envelope if part == "payload" else envelope["signatures"][0]
    raw = bytearray(base64.b64decode(held[part]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    held[part] = base64.b64encode(raw).decode()
    with pytest.raises(SigningError, match="was changed"):
        verify_envelope(envelope, public_key(home))


@pytest.mark.parametrize(
    ("payload", "message"),
    [(b"no json", "no JSON"), (b"[]", "it says 'list'"), (b"{}", "it says None"), (b'{"_type": "x"}', "it says 'x'")],
)
def test_a_true_signature_under_something_else_is_no_statement(home: Path, payload: bytes, message: str) -> None:
    key = serialization.load_pem_private_key(private_key_path(home).read_bytes(), None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    envelope = with_payload(sign_statement(SUBJECTS, TYPE, {}, home), payload)
    envelope["signatures"][0]["sig"] = base64.b64encode(key.sign(pae(envelope["payloadType"], payload))).decode()
    with pytest.raises(SigningError, match=message):
        verify_envelope(envelope, public_key(home))


@pytest.mark.parametrize(
    ("subjects", "kind", "message"),
    [
        ({}, TYPE, "about no files"),
        ({"": digest_bytes(b"")}, TYPE, "the subject ''"),
        ({"a": "sha256:12"}, TYPE, "the digest 'sha256:12'"),
        ({"a": "md5:" + "0" * 64}, TYPE, "the subject 'a'"),
        ({"a": digest_bytes(b"") + "\n"}, TYPE, "the subject 'a'"),
        ({"a": digest_bytes(b"")}, "release", "'release' is no URI"),
    ],
)
def test_a_statement_about_nothing_is_not_signed(
    tmp_path: Path, subjects: dict[str, str], kind: str, message: str
) -> None:
    with pytest.raises(SigningError, match=message):
        sign_statement(subjects, kind, {}, tmp_path)
    assert not private_key_path(tmp_path).exists()


def test_a_predicate_without_one_form_is_not_signed(tmp_path: Path) -> None:
    with pytest.raises(UnstableValue, match="cost"):
        sign_statement(SUBJECTS, TYPE, {"cost": float("nan")}, tmp_path)


# --- the key ---


def test_the_private_key_is_its_owners_alone_and_the_public_one_everybodys(tmp_path: Path) -> None:
    public_key(tmp_path)
    assert stat.S_IMODE(private_key_path(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(public_key_path(tmp_path).stat().st_mode) == 0o644
    assert sorted(path.name for path in (tmp_path / "guard").iterdir()) == ["signing.pem", "signing.pub.pem"]


def test_the_key_is_made_once_by_however_many_ask_first(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        envelopes = list(pool.map(lambda _: sign_statement(SUBJECTS, TYPE, PREDICATE, tmp_path), range(8)))
    assert all(verify_envelope(one, public_key(tmp_path)) for one in envelopes)
    assert len({one["signatures"][0]["sig"] for one in envelopes}) == 1  # Ed25519 always signs in the same way


def test_a_crash_between_the_two_keys_is_made_good(tmp_path: Path) -> None:
    envelope = sign_statement(SUBJECTS, TYPE, PREDICATE, tmp_path)
    public_key_path(tmp_path).unlink()
    assert verify_envelope(envelope, public_key(tmp_path))


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    public_key(tmp_path)
    private_key_path(tmp_path).chmod(0o640)
    with pytest.raises(BadSetting, match="open to others"):
        sign_statement(SUBJECTS, TYPE, PREDICATE, tmp_path)


def test_a_public_key_of_another_is_not_handed_out(tmp_path: Path) -> None:
    public_key(tmp_path / "other")
    public_key(tmp_path)
    public_key_path(tmp_path).write_bytes(public_key_path(tmp_path / "other").read_bytes())
    with pytest.raises(SigningError, match="doesn't belong to the private key"):
        public_key(tmp_path)


def wrong_key(kind: str) -> str:
    if kind == "ecdsa":
        return (
            ec.generate_private_key(ec.SECP256R1())
            .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            .decode()
        )
    return {"empty": "", "text": "hello", "cut": "-----BEGIN PRIVATE KEY-----\nMC4CAQ"}[kind]


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "ecdsa"])
def test_a_file_that_holds_no_such_key_is_named_and_not_replaced(tmp_path: Path, kind: str) -> None:
    path = private_key_path(tmp_path)
    path.parent.mkdir()
    text = wrong_key(kind)
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SigningError, match=r"signing\.pem holds no Ed25519 key"):
        sign_statement(SUBJECTS, TYPE, PREDICATE, tmp_path)
    assert path.read_text() == text


@pytest.mark.parametrize("pem", ["", "hello", b"\xff", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"])
def test_a_public_key_that_is_none_is_refused(signed: dict[str, Any], pem: str | bytes) -> None:
    with pytest.raises(SigningError, match="public key"):
        verify_envelope(signed, pem)
