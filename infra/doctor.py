"""doctor: what this machine can do, and what is known not to work."""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import httpx
import psutil
from packaging.specifiers import SpecifierSet

from infra.accelerators import Accelerators, ask_torch, probe
from infra.digest import Record
from infra.errors import NightshiftError
from infra.hardware import hardware_book
from infra.price_book import load_price_book
from infra.settings import load_settings, servers_up, tracking_uri, visibility_variables

# versions that resolve and then fail at run time, and how (found by trial; see constraints.txt)
KNOWN = {
    "fastapi": (">=0.139,<0.151", "`prefect server start` dies on import"),
    "sqlalchemy": (">=2.0,<2.1", "Prefect's scheduler fails silently: cron never fires"),
    "prefect": ("!=3.9.1", "can't be resolved with the rest"),
    "trl": (">=1.16,<1.17", "the training program is tested with this release only"),
    "great-expectations": (">=1.24,<1.25", "exception_info is read in this release's form"),
}
MIN_FREE_GB = 5
MIN_MEMORY_GB = 6


class Finding(Record):
    what: str
    state: Literal["good", "note", "wrong"]
    text: str


def examine() -> list[Finding]:
    """Everything the doctor looks at."""
    checks: list[Callable[[], list[Finding]]] = [_python, _machine, _versions, _torch, _visibility, _prices, _servers]
    return [finding for check in checks for finding in check()]


def examine_job(gpu: str | None) -> list[Finding]:
    """What is looked at inside a job, before its program starts: no servers and no prices are there.

    Args:
        gpu: the accelerator's kind that the pool was to give; None for none.
    """
    checks: list[Callable[[], list[Finding]]] = [_python, _machine, _versions, _torch, _visibility]
    findings = [finding for check in checks for finding in check()]
    return [*findings, judge_accelerators(gpu, probe())] if gpu else findings


def judge_accelerators(gpu: str, found: Accelerators) -> Finding:
    """What is there against what the pool was to give, by the hardware book."""
    wanted = hardware_book().of(gpu)
    others = sorted({one for one in found.architectures if one != wanted.architecture})
    if not found.names:
        text = f"the pool was to give {gpu} and PyTorch sees no accelerator: look at the visibility and the driver"
        return Finding(what="accelerators", state="wrong", text=text)
    if others:
        text = f"the pool was to give {gpu} ({wanted.architecture}), there is {', '.join(others)}: mend its `gpu`"
        return Finding(what="accelerators", state="wrong", text=text)
    return Finding(what="accelerators", state="good", text=f"{len(found.names)} {gpu} ({wanted.architecture})")


def in_words(findings: list[Finding]) -> str:
    marks = {"good": " ", "note": "·", "wrong": "!"}
    lines = [f"{marks[finding.state]} {finding.what:<14} {finding.text}" for finding in findings]
    wrong = sum(finding.state == "wrong" for finding in findings)
    return "\n".join(
        [*lines, "", f"{wrong} thing{'s are' if wrong != 1 else ' is'} wrong (!)." if wrong else "Nothing is wrong."]
    )


def judge_version(name: str, installed: str | None) -> Finding:
    """One installed version against what is known to fail."""
    allowed, symptom = KNOWN[name]
    if installed is None:
        return Finding(what=name, state="wrong", text="not installed: run `make setup`")
    if installed not in SpecifierSet(allowed):
        return Finding(what=name, state="wrong", text=f"{installed} is outside {allowed}: {symptom}; run `make setup`")
    return Finding(what=name, state="good", text=installed)


def judge_visibility(variables: dict[str, str]) -> Finding:
    """More than one visibility variable hides GPUs from ROCm: each renumbers what the one before left."""
    if not variables:
        return Finding(what="visibility", state="good", text="no visibility variable is set")
    shown = ", ".join(f"{name}={value}" for name, value in variables.items())
    if len(variables) > 1:
        return Finding(what="visibility", state="wrong", text=f"{shown}: set exactly one, together they hide devices")
    return Finding(what="visibility", state="note", text=shown)


def _python() -> list[Finding]:
    good = sys.version_info >= (3, 11)
    return [
        Finding(
            what="python",
            state="good" if good else "wrong",
            text=f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        )
    ]


def _machine() -> list[Finding]:
    settings = load_settings()
    free = shutil.disk_usage(settings.home).free / 1e9
    memory = psutil.virtual_memory().total / 1e9
    return [
        Finding(what="cores", state="good", text=f"{os.cpu_count()}"),
        Finding(
            what="memory",
            state="good" if memory >= MIN_MEMORY_GB else "wrong",
            text=f"{memory:.0f} GB (the demo needs {MIN_MEMORY_GB})",
        ),
        Finding(
            what="disk",
            state="good" if free >= MIN_FREE_GB else "wrong",
            text=f"{free:.0f} GB free in {settings.home} (the demo needs {MIN_FREE_GB})",
        ),
    ]


def _versions() -> list[Finding]:
    return [judge_version(name, _installed(name)) for name in KNOWN]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _torch() -> list[Finding]:
    try:
        found = ask_torch()
    except NightshiftError as error:
        return [Finding(what="torch", state="wrong", text=error.what)]
    devices = (
        f"{len(found.names)} × {found.names[0]}, {found.memory_bytes / 1e9:.0f} GB each"
        if found.names
        else "none: nights run on the CPU"
    )
    return [
        Finding(what="torch", state="good", text=f"{found.torch} ({found.build} build)"),
        Finding(what="accelerators", state="good" if found.names else "note", text=devices),
    ]


def _visibility() -> list[Finding]:
    return [judge_visibility(visibility_variables())]


def _prices() -> list[Finding]:
    path = load_settings().price_book
    try:
        book = load_price_book(path)
    except NightshiftError as error:
        return [Finding(what="price book", state="wrong", text=error.what)]
    old = book.warnings(datetime.now().date())
    said = f"{path.name} of {book.date}, devices {', '.join(book.device)}; {book.source}"
    if book.kind == "example":
        said += "; what doesn't say otherwise is an example, and amounts are marked so"
    return [Finding(what="price book", state="note" if old else "good", text="; ".join((said, *old)))]


def _servers() -> list[Finding]:
    settings = load_settings()
    up = servers_up(settings)
    uri = tracking_uri(settings)
    findings = [
        Finding(
            what="servers",
            state="good" if up else "note",
            text=f"up: {up['prefect']}, {up['mlflow']}"
            if up
            else "not running (`nightshift up`); nights run without them",
        )
    ]
    if uri.startswith("http"):
        findings.append(_answers("mlflow", f"{uri.rstrip('/')}/health"))
    if settings.prefect_api_url:
        findings.append(_answers("prefect", f"{settings.prefect_api_url.rstrip('/')}/health"))
    return findings


def _answers(what: str, url: str) -> Finding:
    try:
        status = httpx.get(url, timeout=5).status_code
    except httpx.HTTPError as error:
        return Finding(what=what, state="wrong", text=f"{url} doesn't answer: {error}")
    return Finding(what=what, state="good" if status == 200 else "wrong", text=f"{url} answers {status}")
