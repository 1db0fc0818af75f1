"""A whole night with secrets in every place where one may be: afterwards no file of it holds any of them."""

import base64
import contextlib
import gzip
import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil
import pyarrow.parquet as pq
import pytest
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

from infra.registry_guard.bootstrap import bootstrap, set_account, users_database
from infra.registry_guard.roles import credentials_path, read_private
from infra.settings import ROOT, child_environment, load_settings

USER = "nightwatch"  # a person with a trainer's account

# where a secret may legally be, each with a word of its own
PLANTED = {
    "NIGHTSHIFT_JUDGE_KEY": "planted-judge-Vq7XeRmT",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-Hn3KzWpd",
    "AWS_SECRET_ACCESS_KEY": "planted-aws/Jc8LbYfs+x",
    "AWS_SESSION_TOKEN": "planted-session-Gm2TqNvk",
    "HF_TOKEN": "planted-hub-Dk9SwPzr",
    "PREFECT_API_AUTH_STRING": "admin:planted-prefect-Bt4MxLch",
}
URL_PASSWORD = "planted-url-Rf6JyQdg"  # of NIGHTSHIFT_MLFLOW_TRACKING_URI


def forms(secret: str) -> set[bytes]:
    """How a secret may lie in a file: as it is, in a URL, in JSON, in a basic-auth header, as base64 of its own."""
    plain = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    coded = {base64.b64encode(text.encode()).decode().rstrip("=") for text in (secret, f"{USER}:{secret}")}
    return {text.encode() for text in plain | coded}


def unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file, and of what is packed in it: gzip, zip, Parquet's pages, a database's values."""
    yield name, data
    if data.startswith(b"\x1f\x8b"):
        yield from unpacked(f"{name} (gzip)", gzip.decompress(data))
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield from unpacked(f"{name} ({member})", archive.read(member))
    elif data.startswith(b"PAR1"):
        yield f"{name} (rows)", json.dumps(pq.read_table(io.BytesIO(data)).to_pylist(), default=str).encode()
    elif data.startswith(b"SQLite format 3\0"):
        yield f"{name} (values)", values(data)


def values(database: bytes) -> bytes:
    """Every value of a database: in the file, a long one may be split over pages."""
    # bytes 18 and 19: with a write-ahead log, which a database in memory can't have. The log's file is looked at too
    database = database[:18] + b"\x01\x01" + database[20:]
    with sqlite3.connect(":memory:") as connection:
        connection.deserialize(database)
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for name in names for row in connection.execute(f'SELECT * FROM "{name}"')]
    return b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)


def leaks(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Every file under the folder that holds a secret, with the secret's name."""
    wanted = {name: forms(secret) for name, secret in secrets.items()}
    return sorted(
        f"{where} holds {name}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
        for where, data in unpacked(path.relative_to(folder).as_posix(), path.read_bytes())
        for name, texts in wanted.items()
        if any(text in data for text in texts)
    )


def test_a_planted_secret_is_found_in_every_kind_of_file(tmp_path: Path) -> None:
    secret = PLANTED["AWS_SECRET_ACCESS_KEY"]
    (tmp_path / "plain.log").write_text(f"key={secret}")
    (tmp_path / "escaped.json").write_text(json.dumps({"url": quote(secret, safe="")}))
    (tmp_path / "header").write_text(base64.b64encode(f"{USER}:{secret}".encode()).decode())
    (tmp_path / "packed.gz").write_bytes(gzip.compress(secret.encode()))
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.gz", gzip.compress(secret.encode()))
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (?)", ("x" * 4000 + secret + "x" * 4000,))
    connection.close()
    (tmp_path / "clean").write_text("nothing here")
    found = leaks(tmp_path, {"the key": secret})
    names = {line.split()[0] for line in found}
    assert names == {"plain.log", "escaped.json", "header", "packed.gz", "packed.zip", "x.db"}
    assert all(line.endswith("holds the key") for line in found)


class Servers(NamedTuple):
    mlflow: str  # host:port
    prefect: str
    made: dict[str, str]  # account → the password that was made for it


@pytest.fixture
def servers(home: Path) -> Iterator[Servers]:
    """A real MLflow with the guard and a real Prefect server, with an auth string, over the test's own files."""
    mlflow, prefect = free_port(), free_port()
    ready = bootstrap(home, users_database(home))
    set_account(home, users_database(home), USER, "trainer")
    users = SqlAlchemyStore()
    users.init_db(users_database(home))
    users.update_user(USER, password=PLANTED["MLFLOW_TRACKING_PASSWORD"])
    made = ready.passwords | {name: one["password"] for name, one in read_private(credentials_path(home)).items()}
    stores = ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
    stores += ["--artifacts-destination", (home / "mlartifacts").as_uri(), "--workers", "1"]
    here = ["--host", "127.0.0.1", "--port"]
    started = [
        start(
            home, "mlflow", ["mlflow", "server", "--app-name", "nightshift", *here, mlflow, *stores], **ready.variables
        ),
        start(home, "prefect", ["prefect", "server", "start", *here, prefect]),
    ]
    try:
        for process, url in zip(started, (f"{mlflow}/health", f"{prefect}/api/health"), strict=True):
            wait_for(process, f"http://127.0.0.1:{url}", home)
        yield Servers(f"127.0.0.1:{mlflow}", f"127.0.0.1:{prefect}", made)
    finally:
        # MLflow's job runners have sessions of their own: all that carry this HOME, not only the two groups
        for process in processes_of(home):
            process.kill()
        for process in started:
            process.wait()


def processes_of(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # gone, or somebody else's
            if process.pid != os.getpid() and process.environ().get("NIGHTSHIFT_HOME") == str(home):
                found.append(process)
    return found


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def start(home: Path, name: str, arguments: list[str], **variables: str) -> subprocess.Popen[bytes]:
    auth = {"PREFECT_SERVER_API_AUTH_STRING": PLANTED["PREFECT_API_AUTH_STRING"]}
    with (home / f"{name}-server.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=log,
            stderr=log,
            env=child_environment(load_settings()) | auth | variables,
            start_new_session=True,
        )


def wait_for(process: subprocess.Popen[bytes], url: str, home: Path) -> None:
    deadline = time.monotonic() + 600
    while not answers(url):
        logs = "".join(log.read_text()[-1500:] for log in home.glob("*-server.log"))
        assert process.poll() is None, logs
        assert time.monotonic() < deadline, logs
        time.sleep(0.5)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except urllib.error.HTTPError as error:
        return error.code == 401  # it asks for the auth string: it is there
    except OSError:
        return False


def nightshift(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command with every secret in its environment. What it prints is kept under HOME, to be looked through too."""
    environment = child_environment(load_settings()) | PLANTED | {"MLFLOW_TRACKING_USERNAME": USER} | variables
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    with (home / "printed.log").open("a") as log:
        log.write(f"$ {arguments[0]}\n{done.stdout}{done.stderr}")
    return done


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_no_file_of_a_night_holds_a_secret(home: Path, tiny_recipe: Path, servers: Servers) -> None:
    secrets = PLANTED | {"the URL's password": URL_PASSWORD}
    secrets |= {f"the password of {name}": password for name, password in servers.made.items()}
    where = {
        "NIGHTSHIFT_MLFLOW_TRACKING_URI": f"http://{USER}:{URL_PASSWORD}@{servers.mlflow}",
        "NIGHTSHIFT_PREFECT_API_URL": f"http://{servers.prefect}/api",
        "PREFECT_API_URL": f"http://{servers.prefect}/api",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
    }
    for who, arguments in (
        ("service", ("init", str(tiny_recipe))),
        (USER, ("run", str(tiny_recipe))),
        ("approver", ("approve", "2", "--name", "tiny")),
        ("service", ("promote", "2", "--name", "tiny")),
    ):
        password = servers.made.get(who, PLANTED["MLFLOW_TRACKING_PASSWORD"])
        login = {"MLFLOW_TRACKING_USERNAME": who, "MLFLOW_TRACKING_PASSWORD": password}
        done = nightshift(home, *arguments, **where | login)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    # and nights that fail: no server there, a password on the command line
    nowhere = {"NIGHTSHIFT_MLFLOW_TRACKING_URI": f"http://{USER}:{URL_PASSWORD}@127.0.0.1:9"}
    gone = nightshift(home, "run", str(tiny_recipe), **where | nowhere)
    assert gone.returncode != 0
    assert "MLflow at http://127.0.0.1:9 doesn't answer" in gone.stdout + gone.stderr
    given = nightshift(
        home, "run", str(tiny_recipe), "--set", f"sources=https://u:{URL_PASSWORD}@host/x.jsonl", **where
    )
    assert given.returncode != 0
    assert "holds a URL with a password" in given.stdout + given.stderr

    files = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    # what is looked through holds the places where a secret would be
    assert {"mlflow.db", "prefect/prefect.db", "last-night", "serving/tiny.json", "printed.log"} <= files
    for name in ("report.html", "summary.json", "spec.json", "output.log", "bill.json"):
        assert any(file.endswith(name) for file in files), f"no {name} was written"
    # the one place for them, readable by its owner alone
    kept = credentials_path(home)
    assert kept.stat().st_mode & 0o77 == 0
    kept.unlink()
    assert leaks(home, secrets) == []
