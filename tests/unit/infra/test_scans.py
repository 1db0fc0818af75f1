"""What `make check` looks for, and that it never passes without having looked."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra import scans
from infra.errors import DependencyError, SecretFound
from infra.scans import (
    ACCEPTED,
    BASELINE,
    ROOT,
    Secret,
    audit,
    main,
    read_accepted,
    read_audit,
    refuse_secrets,
    scan_secrets,
    secrets_of,
)

# ---- secrets -------------------------------------------------------------------------------------------------------

# put together here, so that this file holds none
KEY = "AKIA" + "QWERTYUIOP" + "ASDFGH"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "clean.py").write_text("x = 1\n")
    return tmp_path


def test_a_secret_that_was_planted_in_the_checkout_is_named_by_place_and_not_shown(checkout: Path) -> None:
    assert "0 findings" in scan_secrets(accept=True, root=checkout)
    assert scan_secrets(accept=False, root=checkout) == "no new secret in the checkout"
    (checkout / "settings.py").write_text(f'\naws = "{KEY}"\n')
    with pytest.raises(SecretFound, match=r"settings\.py:2 \(AWS Access Key\)") as caught:
        scan_secrets(accept=False, root=checkout)
    assert KEY not in str(caught.value)
    assert "revoke it" in caught.value.do
    # an accepted one stays accepted where it moves within its file, and only there
    scan_secrets(accept=True, root=checkout)
    assert KEY not in (checkout / BASELINE).read_text()
    (checkout / "settings.py").write_text(f'\n\n\naws = "{KEY}"\n')
    assert scan_secrets(accept=False, root=checkout)
    (checkout / "other.py").write_text(f'aws = "{KEY}"\n')
    with pytest.raises(SecretFound, match=r"other\.py:1"):
        scan_secrets(accept=False, root=checkout)


def test_without_a_baseline_nothing_passes(checkout: Path) -> None:
    with pytest.raises(SecretFound, match="there is no"):
        scan_secrets(accept=False, root=checkout)


def test_a_scanner_that_fails_does_not_pass(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan_secrets(accept=True, root=checkout)
    monkeypatch.setattr(scans, "_files", lambda root: ["--no-such-option"])
    with pytest.raises(SecretFound, match="the scanner failed, nothing was looked at"):
        scan_secrets(accept=False, root=checkout)


def test_findings_are_known_by_file_kind_and_value() -> None:
    one = Secret("a.py", "Secret Keyword", "1")
    found = {one: 3, one._replace(sha1="2"): 7, one._replace(file="b.py"): 9}
    assert refuse_secrets(found, [one]) == ["a.py:7 (Secret Keyword)", "b.py:9 (Secret Keyword)"]
    assert refuse_secrets({}, [one]) == []


# names that stand for secrets of a cluster, in examples
EXAMPLES = ("infra/redact.py", "infra/kubernetes/examples.py", "docs/guides/pools.md")


def test_the_committed_baseline_names_tests_and_examples_only() -> None:
    for secret in secrets_of(json.loads((ROOT / BASELINE).read_text())):
        assert secret.file.startswith("tests/") or secret.file in EXAMPLES, secret


# ---- packages with known holes -------------------------------------------------------------------------------------


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages)}


FINE = {"name": "a", "version": "1", "vulns": []}
HOLE = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["1.1"]}
BAD = {"name": "b", "version": "1", "vulns": [HOLE]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (1)"}


def test_a_skipped_package_is_not_counted_as_looked_at() -> None:
    result = read_audit(report(FINE, SKIPPED))
    assert (result.vulnerable, result.unanswered, result.answered) == ((), ("c",), 1)


def test_a_known_hole_is_named_with_what_mends_it() -> None:
    assert read_audit(report(FINE, BAD)).vulnerable == ("b 1: PYSEC-2026-1, fixed in 1.1",)


@pytest.mark.parametrize("accepted", ["PYSEC-2026-1", "CVE-2026-1"])
def test_an_accepted_hole_passes_under_either_of_its_names(accepted: str) -> None:
    assert read_audit(report(BAD), [accepted]).vulnerable == ()
    assert read_audit(report(BAD), ["CVE-2026-2"]).vulnerable


def test_nothing_is_accepted_without_a_reason() -> None:
    assert read_accepted("# why\n\nCVE-1 not called by us\n") == ["CVE-1"]
    with pytest.raises(DependencyError, match="CVE-1 is accepted without a reason"):
        read_accepted("CVE-1\n")
    read_accepted((ROOT / ACCEPTED).read_text())


def answer(monkeypatch: pytest.MonkeyPatch, *answers: tuple[dict[str, Any] | None, str]) -> list[list[Path]]:
    """pip-audit's answers one after the other, without a network; what it was asked about."""
    asked: list[list[Path]] = []
    waiting = iter(answers)

    def ask(locks: list[Path]) -> tuple[dict[str, Any] | None, str]:
        asked.append(locks)
        return next(waiting)

    monkeypatch.setattr(scans, "_ask", ask)
    return asked


@pytest.mark.parametrize("first", [(None, "no network"), (report(SKIPPED), "it knows none")])
def test_a_service_that_does_not_answer_is_said_and_is_an_error_where_required(
    first: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch, first, first)
    assert audit(required=False).startswith("NOT AUDITED: the vulnerability service does not answer (")
    with pytest.raises(DependencyError, match="NOT AUDITED"):
        audit(required=True)
    assert [len(locks) for locks in asked] == [1, 1]  # three hundred questions to nobody are not asked


def test_a_package_the_service_does_not_know_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, (report(FINE), ""), (report(FINE, SKIPPED), ""))
    assert audit(required=False).startswith("NOT AUDITED: the service knows nothing of c")
    answer(monkeypatch, (report(FINE), ""), (report(FINE, SKIPPED), ""))
    assert main(["audit", "--required"]) == 1


def test_a_hole_fails_the_check_also_where_an_answer_is_not_required(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, (report(FINE), ""), (report(FINE, BAD, SKIPPED), ""))
    assert main(["audit"]) == 1
    asked = answer(monkeypatch, (report(FINE), ""), (report(FINE), ""))
    assert audit(required=True) == "1 packages, no known hole"
    assert [path.name for path in asked[1]] == ["requirements.lock", "torch.lock"]
