"""MLflow's webhooks as they are received: a forged, changed, late or repeated one is refused and wakes nobody."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.webhooks.delivery import _generate_hmac_signature
from starlette.testclient import TestClient

from infra.webhooks import (
    DELIVERY,
    PATH,
    SIGNATURE,
    STALE_SECONDS,
    TIMESTAMP,
    Deliveries,
    receiver,
    refusal,
    signature,
)

SECRET, NOW = "the secret", 1_790_000_000.0
BODY = json.dumps({"entity": "model_version_tag", "action": "set", "data": {"name": "demo", "version": "2"}}).encode()


def signed(body: bytes = BODY, secret: str = SECRET, at: float = NOW, delivery: str = "d-1") -> dict[str, str]:
    stamp = str(int(at))
    return {DELIVERY: delivery, TIMESTAMP: stamp, SIGNATURE: signature(secret, delivery, stamp, body)}


def test_a_delivery_is_signed_as_mlflow_signs_it() -> None:
    assert signature(SECRET, "d-1", "123", BODY) == _generate_hmac_signature(SECRET, "d-1", "123", BODY.decode())


def test_a_delivery_of_now_with_the_right_signature_holds() -> None:
    assert refusal(signed(), BODY, SECRET, NOW) is None
    assert refusal(signed(at=NOW - STALE_SECONDS + 1), BODY, SECRET, NOW) is None


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({}, BODY, DELIVERY),
        ({**signed(), DELIVERY: ""}, BODY, DELIVERY),
        ({**signed(), DELIVERY: "d-2"}, BODY, "does not match"),
        ({**signed(), DELIVERY: "x" * 101}, BODY, DELIVERY),
        ({**signed(), TIMESTAMP: ""}, BODY, TIMESTAMP),
        ({**signed(), TIMESTAMP: "now"}, BODY, TIMESTAMP),
        ({**signed(), TIMESTAMP: "-5"}, BODY, TIMESTAMP),
        ({**signed(), TIMESTAMP: "²"}, BODY, TIMESTAMP),
        ({**signed(), TIMESTAMP: "9" * 400}, BODY, TIMESTAMP),
        ({**signed(), TIMESTAMP: str(int(NOW) + 1)}, BODY, "does not match"),
        ({name: value for name, value in signed().items() if name != SIGNATURE}, BODY, "does not match"),
        ({**signed(), SIGNATURE: "v1,"}, BODY, "does not match"),
        ({**signed(), SIGNATURE: "ü"}, BODY, "does not match"),
        (signed(), BODY + b" ", "does not match"),
        (signed(secret="another"), BODY, "does not match"),
        (signed(at=NOW - STALE_SECONDS - 1), BODY, "301 s ago"),
        (signed(at=NOW + STALE_SECONDS + 1), BODY, "-301 s ago"),
    ],
)
def test_a_forged_changed_or_stale_delivery_is_refused(headers: dict[str, str], body: bytes, reason: str) -> None:
    told = refusal(headers, body, SECRET, NOW)
    assert told is not None
    assert reason in told
    assert SECRET not in told


@settings(deadline=None)
@given(st.binary(max_size=60), st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_nothing_that_was_not_signed_holds(body: bytes, sign: str, stamp: str, delivery: str) -> None:
    assert refusal({SIGNATURE: sign, TIMESTAMP: stamp, DELIVERY: delivery}, body, SECRET, NOW) is not None


@pytest.fixture
def woken() -> list[float]:
    return []


def client(path: Path, woken: list[float], now: float = NOW) -> TestClient:
    app = receiver(SECRET, Deliveries(path / "deliveries.json"), lambda: now, lambda: woken.append(time.monotonic()))
    return TestClient(app)


def post(to: TestClient, headers: dict[str, str], body: bytes = BODY) -> Any:
    return to.post(PATH, content=body, headers=headers)


def test_a_delivery_wakes_once_and_is_refused_when_it_comes_again_also_after_a_restart(
    tmp_path: Path, woken: list[float]
) -> None:
    assert post(client(tmp_path, woken), signed()).status_code == 200
    again = post(client(tmp_path, woken), signed())
    assert again.status_code == 409
    assert "received before" in again.text
    assert len(woken) == 1
    assert post(client(tmp_path, woken), signed(delivery="d-2")).status_code == 200
    assert len(woken) == 2


def test_a_forged_delivery_wakes_nobody_and_does_not_use_up_its_id(tmp_path: Path, woken: list[float]) -> None:
    forged = post(client(tmp_path, woken), {**signed(), SIGNATURE: "v1,AAAA"})
    assert forged.status_code == 401
    assert woken == []
    assert post(client(tmp_path, woken), signed()).status_code == 200


def test_an_endless_body_is_cut_off(tmp_path: Path, woken: list[float]) -> None:
    long = b"x" * 300_000
    assert post(client(tmp_path, woken), signed(long), long).status_code == 413
    assert woken == []


def test_old_deliveries_are_forgotten_once_they_are_stale(tmp_path: Path) -> None:
    deliveries = Deliveries(tmp_path / "deliveries.json")
    assert deliveries.first("d-1", NOW)
    assert not deliveries.first("d-1", NOW + STALE_SECONDS)
    assert deliveries.first("d-2", NOW + 3 * STALE_SECONDS)
    assert set(json.loads((tmp_path / "deliveries.json").read_text())) == {"d-2"}


def test_a_file_that_a_crash_cut_off_stops_no_delivery(tmp_path: Path, woken: list[float]) -> None:
    (tmp_path / "deliveries.json").write_text('{"d-1": 1')
    assert post(client(tmp_path, woken), signed()).status_code == 200
    assert post(client(tmp_path, woken), {}, b"").status_code == 401
