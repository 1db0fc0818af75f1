"""`nightshift serve` and `ask` as a person runs them: real processes, a real port, a real registry on SQLite."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
import torch

from flows.cli import main
from flows.serving import serve
from infra.endpoint import Address, check_address, is_loopback
from infra.errors import ServerError
from infra.settings import ROOT, Settings, child_environment
from infra.store import Store
from tasks.contracts import Model
from tasks.lm.endpoint import serve_command
from tasks.lm.generate import generate
from tasks.lm.loading import load_model, load_tokenizer
from tasks.registry.client import model_tags
from tasks.registry.initialise import initialise
from tasks.registry.steps import SERVICE, registry_of
from tasks.release import ReleasePolicy
from tests.unit.lm.test_loading import make_adapter

QUESTIONS = ["when is the sun cold", "please return my order", "how old is the cat .", "buy milk", "zzz ???"]
MOST = 24


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


# --- what is refused before anything starts ---


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "localhost.example.org", ""])
def test_an_address_that_others_reach_is_refused_as_the_server_has_no_login(host: str) -> None:
    with pytest.raises(ServerError, match="has no login and no API key") as refused:
        check_address(Address(host, 8000))
    assert "SSH tunnel" in refused.value.do


def test_loopback_addresses_are_this_machines_own() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"))
    assert Address("::1", 80).url == "http://[::1]:80"


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ServerError, match=f"--port {port} is no port"):
        check_address(Address("127.0.0.1", port))


def test_a_port_in_use_is_named_with_the_next_action() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} on 127.0.0.1 can't be used") as refused:
            check_address(Address("127.0.0.1", port))
    assert "--port" in refused.value.do


@pytest.mark.parametrize(("dtype", "device"), [("float32", "cpu"), ("bfloat16", "auto")])
def test_the_server_gets_one_model_in_the_dtype_it_was_judged_in_and_no_code_of_its_own(
    dtype: str, device: str
) -> None:
    command = serve_command("demo-v3", Address("127.0.0.1", 8001), dtype, 2)
    assert command[command.index("tasks.lm.serve_program") + 1 :][:2] == ["2", "demo-v3"]
    assert "--no-trust-remote-code" in command
    for option, value in {"--dtype": dtype, "--device": device, "--host": "127.0.0.1", "--port": "8001"}.items():
        assert command[command.index(option) + 1] == value


# --- the whole way ---


@pytest.fixture
def settings(home: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A state folder whose registry has the tiny model as champion, and a trained version that awaits approval."""
    monkeypatch.setenv("NIGHTSHIFT_THREADS", "1")
    store, registry = Store(home / "store"), registry_of("tiny", SERVICE)
    base = Model(base=store.put_tree(tiny_model))
    trained = base.model_copy(update={"adapter": store.put_tree(make_adapter(tiny_model, tmp_path / "adapter"))})
    initialise(registry, base, "tiny", "ann", store, ReleasePolicy())
    tags = {"nightshift.role": "candidate", "nightshift.verdict": "PASS"}
    tags |= {"approval": "requested", "approval.expires": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    registry_of("tiny").create("store:/x", None, tags | model_tags(trained, None, store), "")
    return Settings(home=home)  # pyright: ignore[reportCallIssue]


@contextmanager
def serving(settings: Settings, port: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, once its server answers; killed with its server at the end, whatever happened."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "serve", "--name", "tiny", "--port", str(port), *arguments],
        cwd=ROOT,
        env=child_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        end = time.monotonic() + 300
        while not answers(port):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end, "the server doesn't answer"
            time.sleep(0.5)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for one in left_over(settings.home):  # a failed test must not leave a server behind
            one.kill()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=2).is_success
    except httpx.TransportError:
        return False


def greedy(settings: Settings, question: str) -> tuple[str, int]:
    """Our own answer of the merged model: its text, and its tokens."""
    (folder,) = (path for path in (settings.home / "models").glob("*-merged") if path.is_dir())
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, None, torch.float32, "cpu")
    ((tokens,),) = generate(model, tokenizer, [[{"role": "user", "content": question}]], MOST)
    return tokenizer.decode(tokens, skip_special_tokens=True), len(tokens)


def left_over(home: Path) -> list[psutil.Process]:
    """Processes that still work on this state folder."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.status() != psutil.STATUS_ZOMBIE and one.environ().get("NIGHTSHIFT_HOME") == str(home):
                found.append(one)
        except psutil.Error:  # gone, or somebody else's
            continue
    return [one for one in found if one.pid != psutil.Process().pid]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_candidate_is_served_answers_as_our_own_generation_does_and_ctrl_c_leaves_nothing(settings: Settings) -> None:
    port = free_port()
    with serving(settings, port, "--alias", "candidate") as process:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
        for question in QUESTIONS:
            found = client.chat.completions.create(
                model="tiny-v2",
                messages=[{"role": "user", "content": question}],
                temperature=0,
                max_tokens=MOST,
            )
            assert found.usage is not None
            ours = greedy(settings, question)
            assert (found.choices[0].message.content, found.usage.completion_tokens) == ours, question
        # pinned to this model, with nothing of the user's own cache beside it
        with pytest.raises(openai.BadRequestError) as pinned:
            client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "x"}])
        assert "pinned to 'tiny-v2'" in pinned.value.response.text
        assert client.models.list().data == []

        with pytest.raises(ServerError, match=f"port {port} on 127.0.0.1 can't be used"):
            serve("tiny", "champion", "127.0.0.1", port)

        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert f"tiny-v2 answers at http://127.0.0.1:{port}/v1" in said
    assert "Stopping" in said
    assert "Traceback" not in said
    assert not answers(port)
    assert left_over(settings.home) == []
    assert list((settings.home / "work").glob("serve-*")) == []


@pytest.mark.slow
def test_a_serve_that_is_killed_takes_its_server_with_it(settings: Settings) -> None:
    port = free_port()
    with serving(settings, port) as process:
        process.kill()
        process.wait()
        end = time.monotonic() + 20
        while answers(port) or left_over(settings.home):
            assert time.monotonic() < end, left_over(settings.home)
            time.sleep(0.2)


@pytest.mark.slow
def test_ask_shows_both_answers_side_by_side_and_as_json(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", QUESTIONS[0], "--name", "tiny", "--max-tokens", "8", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["name"], found["question"]) == ("tiny", QUESTIONS[0])
    assert [(one["called"], one["version"]) for one in found["answers"]] == [("champion", 1), ("candidate", 2)]
    assert all(1 <= one["tokens"] <= 8 and one["seconds"] > 0 for one in found["answers"])
    assert found["answers"][0]["text"] != found["answers"][1]["text"]

    monkeypatch.setenv("COLUMNS", "100")
    assert main(["ask", QUESTIONS[0], "--name", "tiny", "--max-tokens", "8", "--versions", "2,champion"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert [part.strip() for part in first.split("│")] == ["version 2", "champion (version 1)"]
    assert list((settings.home / "work").glob("ask-*")) == []


@pytest.mark.usefixtures("settings")
def test_what_can_not_be_done_is_one_message_with_the_next_action(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in {
        "ask| ": "the question is empty",
        "ask|why|--max-tokens|0": "at most 0 tokens can't be asked for",
        "ask|why|--name|none": "there is no registered model 'none'",
        "ask|why|--name|tiny|--versions|9": "tiny has no version 9; there are 1 (champion, anchor, base), 2 (PASS, req",
        "ask|why|--name|tiny|--versions|": "'' is neither a version nor one of champion",
        "serve|--name|tiny|--alias|previous": "tiny has no previous: the alias isn't set",
        "serve|--name|tiny|--host|0.0.0.0": "has no login and no API key",
    }.items():
        assert main(arguments.split("|")) == 1
        said = capsys.readouterr().err
        assert words in said
        assert "\n  -> " in said
        assert "Traceback" not in said
