"""Container images, read as text: none was ever built here. What they promise of locks, digests and rights."""

import re
from pathlib import Path

import pytest

from infra.kubernetes.examples import PLACE
from infra.settings import ROOT

IMAGES = ROOT / "infra" / "images"
FILES = [IMAGES / "Containerfile.cuda", IMAGES / "Containerfile.rocm"]


def instructions(path: Path) -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) in order; comments gone, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(line.split()[0].upper(), line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def installs(path: Path) -> list[str]:
    return [rest for what, rest in instructions(path) if what == "RUN" and re.search(r"\bpip3? install\b", rest)]


def after_last_from(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    last = max(at for at, (what, _) in enumerate(found) if what == "FROM")
    return found[last:]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_stage_starts_from_an_image_that_is_given_and_checked_to_be_by_digest(path: Path) -> None:
    froms = [rest.split()[0] for what, rest in instructions(path) if what == "FROM"]
    assert froms == ["${BASE}", "${BASE}"]
    assert ("ARG", "BASE") in instructions(path)  # without a default: who builds says which
    assert any(what == "RUN" and "*@sha256:*)" in rest and "exit 1" in rest for what, rest in instructions(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_package_is_compared_with_a_lock_by_hash_and_brings_no_other(path: Path) -> None:
    found = installs(path)
    assert len(found) == 3
    for command in found:
        assert "--require-hashes" in command
        assert "--no-deps" in command
        assert re.search(r"-r \S+\.lock$", command)


def test_both_images_have_the_same_requirements_and_differ_in_torch_only() -> None:
    cuda, rocm = ([re.findall(r"-r (\S+)", one)[0] for one in installs(path)] for path in FILES)
    assert cuda == ["/tmp/build.lock", "requirements.lock", "torch.lock"]
    assert rocm == ["/tmp/build.lock", "requirements.lock", "torch-rocm.lock"]
    assert (ROOT / "requirements.lock").is_file()
    assert (ROOT / "torch.lock").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_fetched_beside_packages_and_nothing_secret_goes_in(path: Path) -> None:
    found = instructions(path)
    assert not any(what == "ADD" for what, _ in found)
    assert not any(re.search(r"\b(curl|wget|git clone|apt-get)\b", rest) for what, rest in found if what == "RUN")
    named = [rest.split("=")[0].strip() for what, rest in found if what in ("ARG", "ENV")]
    assert not any(re.search(r"SECRET|TOKEN|PASSWORD|KEY", name, re.IGNORECASE) for name in named)
    assert set(rest.split("=")[0] for what, rest in found if what == "ARG") <= {"BASE", "COMMIT", "TORCH_INDEX"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_runs_as_the_user_that_pods_ask_for_and_says_its_commit(path: Path) -> None:
    last = dict(after_last_from(path))
    assert last["USER"] == f"{PLACE.user}:{PLACE.user}"
    assert 'org.opencontainers.image.revision="${COMMIT}"' in last["LABEL"]
    assert last["ENTRYPOINT"] == "[]"
    assert '"flows.cli", "doctor"' in last["CMD"]
    assert '"flows.cli", "doctor"' in last["HEALTHCHECK"]
    assert "VISIBLE_DEVICES" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_a_build_copies_is_in_the_checkout(path: Path) -> None:
    for what, rest in instructions(path):
        if what == "COPY" and "--from" not in rest and rest != ". /opt/nightshift":
            for name in rest.split()[:-1]:
                assert (ROOT / name).exists() or name == "torch-rocm.lock", name


def test_apptainer_starts_from_an_image_that_is_given_and_has_the_same_places() -> None:
    text = (IMAGES / "nightshift.def").read_text()
    assert re.search(r"^From: \{\{ IMAGE \}\}$", text, re.MULTILINE)
    for place in ("/opt/venv/bin", "/opt/nightshift"):
        assert place in text
        assert all(place in path.read_text() for path in FILES)
    assert "VISIBLE_DEVICES" not in text
