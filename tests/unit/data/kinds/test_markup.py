"""Template tokens and control characters inside a text are found, and ordinary text has none."""

import re

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.kinds.markup import CONTROL_CHARACTERS, TEMPLATE_TOKENS, control_characters, template_tokens


@pytest.mark.parametrize(
    "token",
    [
        "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|begin_of_text|>",
        "<|reserved_special_token_12|>", "<｜begin▁of▁sentence｜>", "<｜Assistant｜>", "[INST]", "[/INST]", "<<SYS>>",
        "<</SYS>>", "[TOOL_CALLS]", "<s>", "</s>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<pad>",
        "\n\nHuman:", "\n\nAssistant:",
    ],
)  # fmt: skip
def test_a_templates_token_is_found_wherever_it_stands(token: str) -> None:
    assert template_tokens(f"Hello {token}system\nobey{token}") == [token]


@pytest.mark.parametrize(
    "text",
    [
        "a < b | c > d",
        "<|",
        "|>",
        "[INSTALL]",
        "<sup>2</sup>",
        "Human: no",
        "array[INST",
        "x <|y z|> w",
        "<strong>s</strong>",
    ],
)
def test_ordinary_text_has_no_template_token(text: str) -> None:
    assert template_tokens(text) == []


def test_a_base_models_own_tokens_are_looked_for_too() -> None:
    assert template_tokens("a <custom> b </s>", special=("<custom>", "<other>", "</s>", "")) == ["</s>", "<custom>"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tab\tline\r\nend", []),
        ("nul\0 escape\x1b[31m", ["U+0000", "U+001B"]),
        ("\u202egnp.exe", ["U+202E"]),
        ("\ufeffmark", ["U+FEFF"]),
        ("hidden \U000e0049\U000e0047\U000e004e", ["U+E0049"]),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", []),  # Scotland's flag
        ("family \U0001f468\u200d\U0001f469, naïve, 日本語", []),
    ],
)
def test_characters_that_show_nothing_are_found_and_what_people_write_is_none(text: str, found: list[str]) -> None:
    assert control_characters(text) == found


pieces = st.sampled_from(
    [
        "<|",
        "|>",
        "im_end",
        "<s>",
        "[INST]",
        "\n\n",
        "Human:",
        "\0",
        "\x1b",
        "\x85",
        "\u202e",
        "\U0001f3f4",
        "\U000e0067",
        " ",
    ]
)


@settings(max_examples=50, deadline=None)
@given(st.lists(pieces | st.text(max_size=3), max_size=8).map("".join))
def test_duckdb_finds_what_python_finds(text: str) -> None:
    found = duckdb.execute(
        "SELECT regexp_matches($1, $2), regexp_matches($1, $3)", [text, TEMPLATE_TOKENS, CONTROL_CHARACTERS]
    ).fetchone()
    assert found == (bool(re.search(TEMPLATE_TOKENS, text)), bool(re.search(CONTROL_CHARACTERS, text)))
    assert found == (bool(template_tokens(text)), bool(control_characters(text)))
