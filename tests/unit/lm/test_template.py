"""The chat template renders as transformers renders it."""

import json
from pathlib import Path

import pytest

from tasks.errors import ModelError
from tasks.lm.template import ChatTemplate

TALK = [
    {"role": "user", "content": 'Is <b>it</b> "late"?\n\nYes & no.'},
    {"role": "assistant", "content": " It is.  "},
    {"role": "user", "content": "Großartig 🎉"},
]
TEMPLATES = {
    "chatml": (
        "{% for message in messages %}\n"
        "    {%- if loop.first and message.role != 'system' %}{{ '<|im_start|>system\nBe<|im_end|>\n' }}{% endif %}\n"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}\n"
        "{% endfor %}\n{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "tokens and trimming": (
        "{{ bos_token }}{% for m in messages %}{{ m.content | trim }}{{ eos_token }}"
        "{% if loop.last %}{% break %}{% endif %}{% endfor %}{{ unk_token is defined }}{{ sep_token is defined }}"
    ),
    "json, tools and generation": (
        "{% set n = namespace(turns=0) %}{% for m in messages %}{% set n.turns = n.turns + 1 %}{{ m | tojson }}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ n.turns }}{% if tools %}tools{% endif %}"
    ),
}


def folder(path: Path, template: str, *, inline: bool = False) -> Path:
    """A word tokenizer's files with this template."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(path / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "unk_token": "<unk>"}
    config |= {"eos_token": {"content": "</s>", "__type": "AddedToken"}, "pad_token": None}  # pyright: ignore
    if inline:
        config["chat_template"] = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": template}]  # pyright: ignore
    else:
        (path / "chat_template.jinja").write_text(template)
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("inline", [False, True], ids=["a file", "in the configuration"])
def test_a_conversation_is_rendered_as_transformers_renders_it(tmp_path: Path, name: str, inline: bool) -> None:
    from transformers import PreTrainedTokenizerFast

    place = folder(tmp_path, TEMPLATES[name], inline=inline)
    theirs, ours = PreTrainedTokenizerFast.from_pretrained(place), ChatTemplate(place)
    for messages in (TALK[:1], TALK[:2], TALK, [{"role": "system", "content": "Be brief"}, *TALK]):
        for prompt in (False, True):
            told = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
            assert ours.render(messages, add_generation_prompt=prompt) == told


def test_a_template_that_refuses_or_fails_says_why(tmp_path: Path) -> None:
    refusing = "{% if messages[0].role != 'user' %}{{ raise_exception('the user begins') }}{% endif %}"
    template = ChatTemplate(folder(tmp_path, refusing + "{{ messages[0].nothing + 1 }}"))
    with pytest.raises(ValueError, match="the user begins"):
        template.render([{"role": "assistant", "content": "hi"}])
    with pytest.raises(ValueError, match="nothing"):
        template.render(TALK)


def test_a_template_cannot_reach_out_of_its_sandbox(tmp_path: Path) -> None:
    template = ChatTemplate(folder(tmp_path, "{{ messages.__class__.__mro__ }}{{ messages.append(1) }}"))
    with pytest.raises(ValueError, match=r"unsafe|undefined"):
        template.render(list(TALK))


@pytest.mark.parametrize("missing", ["template", "configuration"])
def test_a_folder_without_a_template_is_named(tmp_path: Path, missing: str) -> None:
    place = folder(tmp_path, "{{ messages }}")
    (place / ("chat_template.jinja" if missing == "template" else "tokenizer_config.json")).unlink()
    with pytest.raises(ModelError, match=str(tmp_path)):
        ChatTemplate(place)
    (place / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(ModelError, match=str(tmp_path)):
        ChatTemplate(place)
