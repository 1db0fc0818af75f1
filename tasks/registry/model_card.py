"""The model card of an export, in Hugging Face's form: front matter, then text. Pure.

Names, reasons and paragraphs come from people and models: they are escaped, so that none of them can add a heading, a
table row, a link or HTML to the card.
"""

import json
import re
from typing import Literal, NamedTuple

from infra.digest import Digest
from tasks.contracts import Evidence, FixedLimit, SuiteResult

Form = Literal["merged", "adapter"]
NOT_APPROVED = "**NOT APPROVED: nobody has approved this version. It must not serve.**"
NO_LICENCE = "Licence of the base model not stated in its files."
# what Markdown or HTML would read as markup in the middle of a line
_MARKUP = re.compile(r"([\\`*_\[\]<>|~&#!$])")
_HUB_LICENCE = r"[a-z0-9][a-z0-9.-]*"


class Licence(NamedTuple):
    """What the base model's own files say about its licence.

    Attributes:
        name: as stated, for instance ``apache-2.0``; None where there is only a text.
        said_by: the file of the base model's source that states it.
        files: licence texts that are exported beside the model.
    """

    name: str | None
    said_by: str
    files: tuple[str, ...] = ()


class Approval(NamedTuple):
    """Who let a version serve, and when; ``waiver`` is the reason given for an INCONCLUSIVE one."""

    by: tuple[str, ...]
    at: str | None
    waiver: str = ""
    waived_by: str = ""


class Facts(NamedTuple):
    """All that the card says. ``evidence`` is None for a base model, which no night has judged.

    Attributes:
        base_name: as the adapter's own config has it; None for a model that was trained whole.
        pairs: training pairs, counted in the evidence's file.
        approval: None where nobody has approved the version.
        registered_by: who registered a base model.
        cost: the night's bill, as the registry has it.
        quantise: GGUF type that the weights were rounded to, as they were judged.
    """

    name: str
    version: int
    form: Form
    model: Digest
    base: Digest
    adapter: Digest | None
    base_name: str | None
    evidence: Evidence | None
    evidence_digest: Digest | None
    pairs: int | None
    approval: Approval | None
    registered_by: str
    licence: Licence | None
    cost: str | None
    quantise: str | None = None


def model_card(facts: Facts) -> str:
    """The whole ``README.md``. The same facts give the same bytes."""
    parts = [
        front_matter(facts),
        f"# {facts.name}, version {facts.version}",
        *_warning(facts),
        _what_it_is(facts),
        "## Verdict",
        *_verdict(facts),
        *_suites(facts),
        "## What it was made from",
        _made_from(facts),
        "## Intended use and limits",
        _limits(facts),
        "## How to load it",
        _loading(facts),
        "## Licence",
        _licence(facts),
        "## How to check it",
        _checking(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(facts: Facts) -> str:
    """What Hugging Face reads. Values are JSON texts, which are YAML as well; what isn't known is left out."""
    values: dict[str, object] = {
        "library_name": "peft" if facts.form == "adapter" else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["nightshift", "conversational"],
    }
    if facts.base_name and facts.evidence is not None:
        values["base_model"] = facts.base_name
        values["base_model_relation"] = "adapter" if facts.form == "adapter" else "finetune"
    if facts.licence is not None and facts.licence.name:
        if re.fullmatch(_HUB_LICENCE, facts.licence.name):
            values["license"] = facts.licence.name
        else:
            values |= {"license": "other", "license_name": facts.licence.name}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---"])


def plain(text: str) -> str:
    """Text of others on one line, its markup escaped."""
    return _MARKUP.sub(r"\\\1", " ".join("".join(c if c.isprintable() else " " for c in text).split()))


def _warning(facts: Facts) -> list[str]:
    if facts.evidence is None or facts.approval is not None:
        return []
    return [NOT_APPROVED]


def _what_it_is(facts: Facts) -> str:
    if facts.evidence is None:
        return "The base model, as it was registered before the first night. No night has judged it."
    base = f"the base model {plain(facts.base_name)}" if facts.base_name else "a base model that was trained whole"
    form = "a LoRA adapter; the base model is not part of it" if facts.form == "adapter" else "whole weights"
    return (
        f"A candidate of one night of `{facts.name}`: {base}, aligned on preferences, and judged against the model "
        f"that served that night and against a frozen anchor. Here as {form}."
    )


def _verdict(facts: Facts) -> list[str]:
    if facts.evidence is None:
        return [f"None: {plain(facts.registered_by) or 'somebody'} registered it as the first model with `init`."]
    verdict = facts.evidence.verdict
    parts = [f"**{verdict.verdict}** {plain(verdict.paragraph)}".rstrip()]
    if not facts.evidence.promotable:
        parts.append("**The gate was overridden for this night: this version can't be promoted.**")
    if facts.approval is not None:
        at = f" on {plain(facts.approval.at)}" if facts.approval.at else ""
        parts.append(f"Approved by {', '.join(plain(name) for name in facts.approval.by)}{at}.")
        if facts.approval.waiver:
            parts.append(
                f"Waived by {plain(facts.approval.waived_by)}, for this reason: {plain(facts.approval.waiver)}"
            )
    return parts


def _suites(facts: Facts) -> list[str]:
    if facts.evidence is None:
        return []
    verdict = facts.evidence.verdict
    head = (
        "| suite | families | measure | candidate − champion | lower bound | margin | candidate − anchor "
        "| lower bound | budget | verdict |\n|---|--:|---|--:|--:|--:|--:|--:|--:|---|"
    )
    parts = ["\n".join([head, *[_suite(one) for one in verdict.suites]])]
    parts.append(
        f"Bounds are one-sided: against the champion at α = {verdict.alpha:g}, against the anchor at "
        f"z = {verdict.anchor_z:.2f}. Differences are shares of 1. The target had to be proven better."
    )
    if verdict.limits:
        head = "| fixed limit | value | limit | breached |\n|---|--:|--:|---|"
        parts.append("\n".join([head, *[_limit(one) for one in verdict.limits]]))
    noted = [*verdict.problems, *verdict.warnings]
    if noted:
        parts.append("The gate noted:\n\n" + "\n".join(f"- {plain(one)}" for one in noted))
    return parts


def _suite(one: SuiteResult) -> str:
    name = plain(one.name) + (" (target)" if one.target else "")
    cells = [name, str(one.n), one.measure]
    cells += [_number(one.delta), _number(one.lower), f"{one.margin:g}"]
    cells += [_number(one.anchor_delta), _number(one.anchor_lower), f"{one.budget:g}", one.verdict]
    return f"| {' | '.join(cells)} |"


def _limit(one: FixedLimit) -> str:
    value = "missing" if one.value is None else f"{one.value:g}"
    return f"| {plain(one.name)} | {value} | {one.limit:g} | {'yes' if one.breached else 'no'} |"


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:+.4f}"


def _made_from(facts: Facts) -> str:
    rows: list[tuple[str, str]] = []
    if facts.base_name:
        rows.append(("base model", plain(facts.base_name)))
    whole = facts.evidence is not None and facts.adapter is None
    rows.append(("weights, trained whole" if whole else "base model's files", f"`{facts.base}`"))
    if facts.adapter is not None:
        rows.append(("adapter", f"`{facts.adapter}`"))
    rows.append(("model", f"`{facts.model}`"))
    if facts.evidence is not None:
        evidence = facts.evidence
        trained = f"{facts.pairs} pairs, " if facts.pairs is not None else ""
        rows += [
            ("snapshot of the sources", f"`{evidence.snapshot}`"),
            ("preferences", f"`{evidence.preferences}`"),
            ("trained on", f"{trained}`{evidence.trained_on.digest_}`"),
            ("recipe", f"`{evidence.recipe}`"),
            ("night", f"`{evidence.night}`"),
            ("judged against the champion", _digest(evidence.champion)),
            ("and against the anchor", _digest(evidence.anchor)),
            ("evidence", _digest(facts.evidence_digest)),
            ("cost of the night", plain(facts.cost) if facts.cost else "not recorded"),
        ]
    return "\n".join(["| | |\n|---|---|", *[f"| {name} | {value} |" for name, value in rows]])


def _digest(value: Digest | None) -> str:
    return f"`{value}`" if value else "none"


def _limits(facts: Facts) -> str:
    if facts.evidence is None:
        return "What the base model's own makers say of it holds here; Nightshift has measured nothing of it."
    names = ", ".join(plain(one.name) for one in facts.evidence.verdict.suites)
    target = next((plain(one.name) for one in facts.evidence.verdict.suites if one.target), None)
    use = "The model is meant to serve where the one before it did"
    use += f": it was trained for what the suite {target} measures." if target else "."
    return (
        f"{use}\n\n"
        f"The verdict says only what its suites measure ({names}), on their items, within the margins and budgets of "
        "the table. It says nothing about other languages, longer conversations, tools, or harm of a kind that no "
        "suite asks for. No worse than the model before it doesn't mean good: the candidate's own scores are in "
        "`evidence.json`." + (f"\n\n{_rounding(facts)}" if facts.quantise else "")
    )


def _rounding(facts: Facts) -> str:
    return (
        f"The weights are those that the GGUF type {plain(facts.quantise or '')} leaves, stored as plain numbers: "
        "this is the model that was judged."
    )


def _loading(facts: Facts) -> str:
    if facts.form == "adapter":
        base = facts.base_name or "the base model"
        return (
            f"The folder of {plain(base)} (its files have the digest above) is needed too.\n\n"
            "```python\n"
            "from peft import PeftModel\n"
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'base = AutoModelForCausalLM.from_pretrained("path/to/the/base/model")\n'
            'model = PeftModel.from_pretrained(base, "path/to/this/folder")\n'
            'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")\n'
            "```"
        )
    return (
        "```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")\n'
        'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")\n'
        "```\n\n"
        "No remote code is needed. The chat template is the tokenizer's own."
    )


def _licence(facts: Facts) -> str:
    if facts.licence is None:
        return NO_LICENCE
    found = facts.licence
    files = ", ".join(f"`{file}`" for file in found.files)
    said = f"The base model's source states its licence in `{found.said_by.replace('`', '')}`"
    said += f": {plain(found.name)}." if found.name else "."
    return said + (f" Its text: {files}." if files else "")


def _checking(facts: Facts) -> str:
    evidence = " `evidence.json` is what the verdict rests on." if facts.evidence is not None else ""
    return (
        "`manifest.json` lists every file with its SHA-256. `manifest.intoto.json` is the signed statement about them "
        f"(in-toto, DSSE, Ed25519); without it there is no export.{evidence}\n\n"
        "```\nnightshift export --verify URL-OF-THIS-FOLDER --key signing.pub.pem\n```"
    )
