"""`nightshift export` with a real model: what it writes loads from its folder alone, from disk and from real S3."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.cli import main, parser
from flows.export_commands import check_options
from infra.errors import BadSetting
from infra.objects import open_objects
from infra.settings import ROOT, child_environment, load_settings
from tasks.contracts import Model
from tasks.registry.export_check import public_key, verify_export
from tasks.registry.export_files import EVIDENCE, MANIFEST, README, SIGNED
from tests.export_shop import safetensors
from tests.registry_world import World
from tests.unit.lm.test_loading import make_adapter

pytestmark = pytest.mark.usefixtures("one_thread")


# --- options ---


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("export", "VERSION and --to not given"),
        ("export 2", "--to not given"),
        ("export 2 --to", "expected one argument"),
        ("export --to x", "VERSION not given"),
        ("export 2 --to x --key k", "--key is for --verify"),
        ("export 2 --verify x", "VERSION exports"),
        ("export --verify x --to y --unapproved", "--to, --unapproved exports"),
        ("export --verify=", "names no place"),
        ("export two --to x", "invalid int value"),
        ("export 2 --to x --form pickle", "invalid choice"),
    ],
)
def test_options_that_dont_go_together_are_refused_with_the_reason(
    words: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        with pytest.raises(BadSetting, match=reason):
            check_options(parser().parse_args(words.split()))
    except SystemExit:
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", ["export 2 --to x", "export --verify x --key k", "export 2 --to s3://b/p --unapproved"]
)
def test_options_that_go_together_are_taken(words: str) -> None:
    check_options(parser().parse_args(words.split()))


# --- a real model ---


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.name != "README.md"}


@pytest.fixture
def world(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A registry with a tiny model that is approved, where the command finds it."""
    home = tmp_path / "home"
    home.mkdir()
    made = World(home, files_of(tiny_model), files_of(make_adapter(tiny_model, tmp_path / "adapter")))
    made.approve()
    for name, value in {
        "NIGHTSHIFT_HOME": str(home),
        "NIGHTSHIFT_MLFLOW_TRACKING_URI": f"sqlite:///{home / 'registry.db'}",
        "NIGHTSHIFT_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return made


def export(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["export", *words])
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.slow
def test_a_merged_export_loads_from_its_folder_alone_and_answers_as_base_and_adapter(
    world: World, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tasks.lm import parity
    from tasks.lm.served import probe

    code, said = export(capsys, "2", "--name", "shop", "--to", str(tmp_path / "exports"))
    assert code == 0, said
    (folder,) = (tmp_path / "exports" / "shop").iterdir()
    assert str(folder) in said
    # away from everything that made it
    alone = Path(shutil.move(folder, tmp_path / "alone"))
    assert {EVIDENCE, MANIFEST, README, SIGNED, "chat_template.jinja"} <= {file.name for file in alone.iterdir()}
    merged = AutoModelForCausalLM.from_pretrained(alone, dtype=torch.float32, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(alone, trust_remote_code=False)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    apart = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    before, after = probe(apart, tokenizer), probe(merged.eval(), tokenizer)
    found = parity.compare(before, after)
    assert found is not None
    parity.check(found, torch.float32)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "where is the dog"}], return_tensors="pt")
    ids = ids["input_ids"] if not isinstance(ids, torch.Tensor) else ids
    with torch.no_grad():
        torch.testing.assert_close(merged(ids).logits, apart(ids).logits, rtol=1e-4, atol=1e-3)
        assert (merged(ids).logits - AutoModelForCausalLM.from_pretrained(tiny_model)(ids).logits).abs().max() > 0.1
    # the adapter's export goes onto the base model that its card names
    code, said = export(capsys, "2", "--name", "shop", "--to", str(tmp_path / "exports"), "--form", "adapter")
    assert code == 0, said
    (folder,) = (tmp_path / "exports" / "shop").iterdir()
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), str(folder)).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, apart(ids).logits)


@pytest.mark.slow
def test_the_command_exports_once_verifies_and_says_what_was_changed(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--name", "shop", "--to", str(tmp_path / "exports"), "--form", "adapter")
    code, said = export(capsys, "2", *words)
    assert (code, "files written" in said) == (0, True), said
    (folder,) = (tmp_path / "exports" / "shop").iterdir()
    code, said = export(capsys, "2", *words)
    assert (code, "exported already" in said) == (0, True), said
    code, said = export(capsys, "--verify", str(folder))
    assert (code, "every file is what was signed" in said) == (0, True), said
    key = shutil.copy(world.home / "guard" / "signing.pub.pem", tmp_path / "key.pem")
    assert export(capsys, "--verify", str(folder), "--key", str(key))[0] == 0
    (folder / "tokenizer.json").write_text("{}")
    code, said = export(capsys, "--verify", str(folder))
    assert (code, "tokenizer.json was changed" in said) == (1, True), said
    code, said = export(capsys, "--verify", str(folder), "--key", str(tmp_path / "none.pem"))
    assert (code, "none.pem can't be read" in said) == (1, True), said
    code, said = export(capsys, "1", "--name", "nobody", "--to", str(tmp_path / "exports"))
    assert (code, "Traceback" in said) == (1, False), said
    waiting = world.register("INCONCLUSIVE", -0.01)
    code, said = export(capsys, str(waiting), *words)
    assert (code, "isn't approved" in said, "--unapproved" in said) == (1, True, True), said
    code, said = export(capsys, str(waiting), *words, "--unapproved")
    assert (code, "(unapproved)" in said) == (0, True), said


# --- S3 ---


@pytest.mark.slow
def test_an_export_to_s3_that_was_killed_goes_on_and_verifies(world: World, s3_url: str) -> None:
    """A process of its own, killed while it sends a file of several parts; then run to its end, twice."""
    settings = load_settings()
    big = safetensors(bytes(40 << 20))
    tree = world.tree("big", {**files_of(world.home / "base"), "model.safetensors": big})
    world.model = Model(base=tree)  # as if it had been trained whole
    words = ["export", str(world.register("PASS")), "--name", "shop", "--to", s3_url, "--unapproved"]
    command = [sys.executable, "-m", "flows.cli", *words]
    objects = open_objects(s3_url, settings)
    child = subprocess.Popen(command, cwd=ROOT, env=child_environment(settings), stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not [key for key in objects.keys() if key.startswith("shop/")] and child.poll() is None:  # noqa: SIM118
        assert time.monotonic() < until
        time.sleep(0.01)
    child.kill()
    child.wait()
    folder = next(key for key in objects.keys("shop/")).rpartition("/")[0]
    first = set(objects.keys("shop/"))
    assert f"{folder}/{SIGNED}" not in first, "it was killed too late to show anything"
    etags = {key: objects.head(key) for key in first}
    for said in ("files written", "exported already"):
        done = subprocess.run(
            command, cwd=ROOT, env=child_environment(settings), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    # what was there has not been sent again
    assert {key: objects.head(key) for key in first} == etags
    assert verify_export(objects, public_key(world.home), folder) == []
    # through another client, as a consumer would
    held = objects.get(f"{folder}/{MANIFEST}")
    assert held is not None
    assert {one["path"] for one in json.loads(held.data)["files"]} == {
        key.removeprefix(f"{folder}/") for key in objects.keys("shop/")
    } - {MANIFEST, SIGNED}
    objects.put(f"{folder}/pytorch_model.bin", b"evil")
    objects.put(f"{folder}/config.json", b"{}")
    problems = verify_export(open_objects(f"{s3_url}/{folder}", settings), public_key(world.home))
    assert problems[0] == "pytorch_model.bin is no part of the export"
    assert problems[1].startswith("config.json was changed")
