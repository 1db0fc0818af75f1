"""Which of lm-evaluation-harness's metrics and filters judge, as our scorers and checks. Pure, without lm-eval.

Facts from lm_eval 0.4.13: api/task.py (process_results), api/metrics.py (exact_match), filters/, models/utils.py
(normalize_gen_kwargs).
"""

from typing import Any, NamedTuple

from pydantic import ValidationError

from tasks.errors import SuiteError
from tasks.gate.foreign import reason_of
from tasks.gate.foreign.extract import folded
from tasks.gate.suites import Check, Fold, Scorer

# acc_norm divides by characters, acc_bytes by UTF-8 bytes
NORMALISE: dict[str, Any] = {"acc": "none", "acc_norm": "characters", "acc_bytes": "bytes"}
METRICS = {"multiple_choice": ["acc", "acc_norm"], "generate_until": ["exact_match"]}  # where a task names none

FOLDS: dict[str, Fold] = {"ignore_case": "case", "ignore_punctuation": "punctuation", "ignore_numbers": "digits"}
ABOUT_METRIC = {"metric", "aggregation", "higher_is_better", "hf_evaluate"}
MAX_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # in lm-eval's order
DEFAULT_TOKENS = 256
FALLBACK = "[invalid]"  # what lm-eval's regex filter gives where nothing matches

CHOSEN = "mend the task, or write its items as JSONL (docs/suites.md)"


def metrics(config: dict[str, Any]) -> list[dict[str, Any]]:
    """A task's metrics, as its YAML lists them."""
    named = config.get("metric_list")
    return named if named is not None else [{"metric": name} for name in METRICS[config["output_type"]]]


def filters(config: dict[str, Any]) -> list[dict[str, Any]]:
    """A generating task's pipelines of filters."""
    return config.get("filter_list") or [{"name": "none", "filter": [{"function": "take_first"}]}]


def choose(file: str, config: dict[str, Any], picked: str) -> str:
    """The metric, or the pipeline of filters, that judges: the named one, else the task's first.

    Raises:
        SuiteError: the task has none of this name, or it isn't supported.
    """
    if config["output_type"] == "generate_until":
        key, names = "filter_list", [str(one.get("name")) for one in filters(config)]
    else:
        key, names = "metric_list", [str(one.get("metric")) for one in metrics(config)]
    chosen = picked or next(iter(names), "")
    if chosen not in names:
        raise SuiteError(
            f"{file}: {key} has no {chosen!r}: it has {', '.join(names) or 'nothing'}",
            do=f"name one of them behind the file: {file}@{next(iter(names), 'NAME')}",
        )
    if key == "metric_list" and chosen not in NORMALISE:
        raise SuiteError(
            f"{file}: metric_list: {chosen!r} isn't supported",
            do=f"name one of {', '.join(NORMALISE)} behind the file, as in {file}@acc",
        )
    return chosen


def choice_scorer(metric: str, delimiter: str) -> Scorer:
    return Scorer(kind="choice", normalise=NORMALISE[metric], template="none", delimiter=delimiter)


class TextRule(NamedTuple):
    """How generated answers are judged: the check without its texts, and what stands for an answer without a match."""

    form: Check
    fallback: str

    def check(self, where: str, texts: tuple[str, ...]) -> Check:
        """The check of one document.

        Raises:
            SuiteError: a right answer that no answer could be held against.
        """
        for text in texts:
            if not isinstance(text, str) or not folded(text, self.form):
                raise SuiteError(f"{where}: doc_to_target: {text!r:.60} can't be compared with an answer", do=CHOSEN)
            if self.form.pattern and folded(text, self.form) == folded(self.fallback, self.form):
                raise SuiteError(f"{where}: doc_to_target: {text!r} is also the filter's fallback", do=CHOSEN)
        return self.form.model_copy(update={"texts": texts})


def text_rule(file: str, config: dict[str, Any], picked: str) -> TextRule:
    """How a generating task judges.

    Args:
        picked: name of the pipeline of filters.

    Raises:
        SuiteError: a metric, filter or option that isn't supported.
    """
    pipeline = next(one for one in filters(config) if str(one.get("name")) == picked)
    pattern, pick, strip, fallback = _filtered(file, pipeline)
    fold, drop = _compared(file, config)
    try:
        return TextRule(Check(kind="extract", pattern=pattern, pick=pick, fold=(*strip, *fold), drop=drop), fallback)
    except ValidationError as error:
        raise SuiteError(f"{file}: {reason_of(error)}", do=CHOSEN) from None


def _filtered(file: str, pipeline: dict[str, Any]) -> tuple[str, Any, tuple[Fold, ...], str]:
    """Pattern, which of its matches, whether white space around is cut, and the fallback."""
    steps = list(pipeline.get("filter") or [])
    where = f"{file}: filter_list: {pipeline.get('name')}"
    names = [step.get("function") for step in steps]
    if names[-1:] != ["take_first"] or "take_first" in names[:-1]:
        raise SuiteError(f"{where}: it must end with take_first", do=CHOSEN)
    if names[:-1] == []:
        return "", "first", (), FALLBACK
    if names[:-1] == ["remove_whitespace"]:
        return "", "first", ("strip",), FALLBACK
    if names[:-1] != ["regex"]:
        raise SuiteError(
            f"{where}: {', '.join(map(str, names[:-1]))} isn't supported", do="take either remove_whitespace or regex"
        )
    step = steps[0]
    picks = {0: "first", -1: "last"}
    unknown = step.keys() - {"function", "regex_pattern", "group_select", "fallback"}
    if unknown or step.get("group_select", 0) not in picks or "regex_pattern" not in step:
        raise SuiteError(
            f"{where}: the regex filter needs regex_pattern and may have fallback and a group_select of 0 or -1",
            do=CHOSEN,
        )
    return step["regex_pattern"], picks[step.get("group_select", 0)], ("strip",), str(step.get("fallback", FALLBACK))


def _compared(file: str, config: dict[str, Any]) -> tuple[tuple[Fold, ...], tuple[str, ...]]:
    """What exact_match ignores."""
    given = next((one for one in metrics(config) if one.get("metric") == "exact_match"), None)
    if given is None:
        named = ", ".join(str(one.get("metric")) for one in metrics(config))
        raise SuiteError(f"{file}: metric_list: answers are compared by exact_match only, not {named}", do=CHOSEN)
    unknown = given.keys() - ABOUT_METRIC - FOLDS.keys() - {"regexes_to_ignore"}
    if unknown:
        named = ", ".join(sorted(unknown))
        raise SuiteError(f"{file}: metric_list: exact_match with {named} isn't supported", do=CHOSEN)
    return tuple(fold for key, fold in FOLDS.items() if given.get(key)), tuple(given.get("regexes_to_ignore") or ())


def text_scorer(file: str, generation: dict[str, Any]) -> Scorer:
    """How answers are generated.

    Args:
        generation: ``generation_kwargs``, completed by lm-eval's own defaults.

    Raises:
        SuiteError: sampling, or an option that isn't supported.
    """
    unknown = generation.keys() - {"until", "do_sample", "temperature", *MAX_TOKENS}
    if unknown or generation.get("do_sample") or generation.get("temperature"):
        raise SuiteError(
            f"{file}: generation_kwargs: {generation} isn't supported", do="take until, max_gen_toks and no sampling"
        )
    until = generation.get("until") or []
    stops = [until] if isinstance(until, str) else until
    tokens = next((generation[name] for name in MAX_TOKENS if generation.get(name) is not None), DEFAULT_TOKENS)
    return Scorer(kind="checks", template="none", max_tokens=int(tokens), stop=tuple(stop for stop in stops if stop))
