"""The serving guide: its manifest is valid, and its watcher follows a pointer."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kubernetes_validate.utils import resources_from_file

from infra.settings import ROOT
from infra.targets.base import Pointer
from infra.targets.kubernetes import invalid
from infra.targets.pointer import PointerTarget
from infra.targets.rollout import NAME_VARIABLE, URL_VARIABLE

GUIDE = ROOT / "docs" / "guides" / "serving.md"
# stands in for a server: it says what it was started with, and lives until it is ended
SERVER = "import sys, time; open(sys.argv[3], 'a').write(sys.argv[1] + ' ' + sys.argv[2] + '\\n'); time.sleep(600)"


def pointer(version: int) -> Pointer:
    digest = f"sha256:{version:064x}"
    return Pointer(name="shop", version=version, model=digest, artefact=f"/m/{version}", manifest=digest, at="now")


def soon(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_guides_deployment_is_valid_and_has_the_variables_that_the_target_sets(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "deployment.yaml").write_text(text)
    (manifest,) = resources_from_file(str(tmp_path / "deployment.yaml"))
    assert invalid(manifest) == []
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert {one["name"] for one in container["env"]} == {NAME_VARIABLE, URL_VARIABLE}
    assert all(f"${name}" in container["args"][0] for name in (NAME_VARIABLE, URL_VARIABLE))


def test_the_guides_watcher_starts_a_server_anew_when_the_pointer_moves_and_ends_it_with_itself(tmp_path: Path) -> None:
    target, said = PointerTarget(url=str(tmp_path / "p"), unprobed=True), tmp_path / "said"
    said.touch()
    command = [sys.executable, str(GUIDE.parent / "watch_pointer.py"), str(tmp_path / "p" / "pointer.json"), "--"]
    command += [sys.executable, "-c", SERVER, "{artefact}", "{served_name}", str(said)]
    # a brace of the stand-in's own code would be filled in as well
    assert "{" not in SERVER
    watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for version in (1, 2, 1):
            target.point(pointer(version))
            count = len(said.read_text().splitlines())
            soon(lambda count=count: len(said.read_text().splitlines()) > count)
    finally:
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(30) == 0
    assert said.read_text().splitlines() == [f"/m/{n} {pointer(n).served_name}" for n in (1, 2, 1)]
    listed = subprocess.run(["pgrep", "-f", str(said)], capture_output=True, text=True, check=False)
    assert listed.stdout == ""  # no server outlives its watcher
