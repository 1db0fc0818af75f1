"""A launch and what Slurm says of its job, for tests of the pure parts."""

from typing import Any

from infra.job_program import Answer
from infra.launch import Launch
from infra.slurm.records import Accounted, Queued
from infra.usage import Usage


def launch(**changes: Any) -> Launch:
    fields: dict[str, Any] = {
        "key": "ns-abc-0",
        "name": "align demo",
        "module": "tasks.align.program",
        "spec": "/home/night/work/spec.json",
        "result": "/home/night/work/result.json",
        "folder": "/home/night/work",
        "distributed": True,
        "nodes": 2,
        "gpu": "mi355x",
        "gpus_per_node": 8,
        "cpus_per_node": 96,
        "memory_bytes": 512 * 2**30,
        "seconds": 8 * 3600,
        "root": "/srv/nightshift",
        "python": "/srv/nightshift/.venv/bin/python",
    }
    return Launch(**{**fields, **changes})


def row(**changes: Any) -> Accounted:
    fields: dict[str, Any] = {
        "job": "7",
        "name": "ns-abc-0",
        "state": "COMPLETED",
        "exit_code": 0,
        "signal": 0,
        "submitted": 1000.0,
        "started": 1100.0,
        "ended": 1400.0,
        "seconds": 300,
        "nodes": 2,
        "gpus": 16,
        "joules": None,
        "where": "n[1-2]",
    }
    return Accounted(**{**fields, **changes})


def queued_job(**changes: Any) -> Queued:
    fields: dict[str, Any] = {
        "job": "7",
        "state": "RUNNING",
        "reason": "None",
        "nodes": "n[1-2]",
        "submitted": 1000.0,
        "started": 1100.0,
        "ended": None,
        "restarts": 0,
    }
    return Queued(**{**fields, **changes})


def answer(**changes: Any) -> Answer:
    fields: dict[str, Any] = {
        "key": "ns-abc-0",
        "restart": 0,
        "exit_code": 7,
        "asked": None,
        "started": 1101.0,
        "ended": 1399.0,
        "usage": Usage(kwh=None, meter=None, busy=None, peak_memory_bytes=None),
        "tail": "ValueError: the reason\n",
    }
    return Answer(**{**fields, **changes})
