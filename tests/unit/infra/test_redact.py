"""Passwords in URLs are left out of messages, and ordinary text stays as it is."""

import pickle
from pathlib import Path

import pytest

from flows.calls import call_flow
from infra.errors import BadSetting, NightshiftError, ServerError
from infra.redact import holds_password, redact
from infra.settings import Settings
from infra.tracking import Tracker
from tasks.errors import RecipeError
from tasks.recipe import Recipe, load_recipe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pass@host/x", "https://host/x"),
        ("MLflow at http://u:p%40ss@127.0.0.1:5000 is down", "MLflow at http://127.0.0.1:5000 is down"),
        ("postgresql+psycopg2://u:p@db/mlflow", "postgresql+psycopg2://db/mlflow"),
        ("https://u:p@ss@host", "https://host"),
        ("https://:only-a-password@host", "https://host"),
        ("two: s3://a:b@c and s3://d:e@f", "two: s3://c and s3://f"),
        ("https://h/x?token=abc&n=1", "https://h/x?token=***&n=1"),
        ("https://h/x?X-Amz-Signature=abc", "https://h/x?X-Amz-Signature=***"),
        ("https://h/x?n=1&api_key=abc", "https://h/x?n=1&api_key=***"),
    ],
)
def test_a_password_in_a_url_is_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert holds_password(text)
    assert not holds_password(shown.replace("***", "")) or "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail ops@example.org about https://host/path@v1",
        "s3://bucket/key:with:colons",
        "sqlite:////tmp/mlflow.db",
        "see https://host/x?monkey=1&tokens=12",
        "ratio 3:1 @ noon",
        "https://host/a?b=c#user:pass@x",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
    assert not holds_password(text)


def test_an_error_shows_no_password_of_a_url_also_after_it_was_pickled() -> None:
    error = ServerError("MLflow at http://u:hunter2@h doesn't answer", do="see http://u:hunter2@h")
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert "hunter2" not in str(one) + one.what + one.do + repr(one) + repr(one.args)
        assert one.what == "MLflow at http://h doesn't answer"
    assert isinstance(error, NightshiftError)


def test_settings_show_neither_key_nor_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "JUDGE_KEY": "hunter2",
        "MLFLOW_TRACKING_URI": "http://u:hunter2@h",
        "PREFECT_API_URL": "http://u:hunter2@p/api",
        "JUDGE_URL": "http://h/v1?api_key=hunter2",
    }.items():
        monkeypatch.setenv(f"NIGHTSHIFT_{name}", value)
    settings = Settings()  # pyright: ignore[reportCallIssue]
    assert settings.mlflow_tracking_uri == "http://u:hunter2@h"
    assert "hunter2" not in repr(settings) + str(settings)
    assert "http://h" in repr(settings)


def test_a_bad_setting_that_is_secret_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    from infra import settings

    monkeypatch.setattr(settings, "_is_secret", lambda field: field == "threads")
    monkeypatch.setenv("NIGHTSHIFT_THREADS", "hunter2")
    with pytest.raises(BadSetting) as caught:
        settings.load_settings()
    assert "NIGHTSHIFT_THREADS=***" in caught.value.what
    assert "hunter2" not in str(caught.value)
    monkeypatch.undo()
    assert settings._is_secret("judge_key")
    assert not settings._is_secret("threads")


def test_links_to_mlflow_hold_no_password_of_its_address(tmp_path: Path) -> None:
    tracker = Tracker("http://u:hunter2@h:5000/", tmp_path)
    assert tracker.version_url("tiny", 2) == "http://h:5000/#/models/tiny/versions/2"


@pytest.mark.parametrize(
    "parameters", [{"overrides": ["sources=s3://k:hunter2@b/x"]}, {"reason": "https://u:hunter2@h"}]
)
def test_a_flow_is_not_started_with_a_password_among_its_parameters(parameters: dict[str, object]) -> None:
    def flow(**_: object) -> None:
        raise AssertionError("it was started, and Prefect has the password")

    with pytest.raises(RecipeError, match="holds a URL with a password") as caught:
        call_flow(flow, **parameters)
    assert "hunter2" not in str(caught.value)


def test_a_recipe_with_a_password_in_it_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="a URL in it holds a password") as caught:
        Recipe.model_validate({"name": "x", "sources": ["https://u:hunter2@h/pairs.jsonl"]})
    assert "environment variable" in str(caught.value)


def test_a_recipe_file_with_a_password_in_it_is_refused_without_showing_it(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('name = "x"\nsources = ["https://u:hunter2@h/pairs.jsonl"]\n')
    with pytest.raises(RecipeError, match="holds a password or a token") as refused:
        load_recipe(tmp_path / "x.toml")
    assert "hunter2" not in str(refused.value)
