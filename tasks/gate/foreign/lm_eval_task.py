"""A local task of lm-evaluation-harness (a YAML file) as a suite.

Documents, prompts, choices and answers are read and rendered by lm-eval itself, so that they are its own by
construction: few-shot examples included, in the order of its default seed. They are scored without a chat template, as
lm-eval does by default. What a task asks for beyond that is refused, never left out.
"""

import glob
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.errors import SuiteError
from tasks.gate.foreign import reason_of
from tasks.gate.foreign.lm_eval_rules import CHOSEN, TextRule, choice_scorer, choose, metrics, text_rule, text_scorer
from tasks.gate.suites import Item, Message, Scorer

INSTALL = "install it with the pinned versions: `pip install -c constraints.txt -e '.[suites]'`"
LOCAL = ("json", "csv", "parquet")  # dataset builders that read files; every other name is a download
FEWSHOT_SEED = 1234  # lm-eval's own default (lm_eval.defaults.DEFAULT_OTHER_SEED)

# keys that are read; `include` is resolved by lm-eval
READ = {
    "task", "task_alias", "tag", "dataset_path", "dataset_name", "dataset_kwargs", "training_split",
    "validation_split", "test_split", "fewshot_split", "process_docs", "doc_to_text", "doc_to_target", "doc_to_choice",
    "description", "target_delimiter", "fewshot_delimiter", "fewshot_config", "num_fewshot", "metric_list",
    "output_type", "generation_kwargs", "repeats", "filter_list", "should_decontaminate",
    "doc_to_decontamination_query", "gen_prefix", "metadata",
}  # fmt: skip
NEEDED = ("task", "output_type", "dataset_path", "doc_to_text", "doc_to_target")
OUTPUTS = ("multiple_choice", "generate_until")


def load_lm_eval(path: Path, root: Path, cache: Path, picked: str = "") -> tuple[Scorer, list[Item]]:
    """Read a task.

    Args:
        root: where data files lie that aren't beside the YAML.
        cache: an empty folder for the files that `datasets` writes; the data is read anew each time.
        picked: which of the task's metrics (multiple_choice) or filters (generate_until) judges; empty: the first.

    Raises:
        SuiteError: lm-eval isn't installed, the task is broken, or it asks for something that isn't supported; names
            file, key and value.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise SuiteError(f"{path.name} is a task of lm-evaluation-harness, and lm-eval isn't installed", do=INSTALL)
    config = _config(path)
    _check(path, config)
    picked = choose(path.name, config, picked)
    rule = text_rule(path.name, config, picked) if config["output_type"] == "generate_until" else None
    files = _data_files(path, config, root)
    config["dataset_kwargs"] = {**config["dataset_kwargs"], "data_files": files, "cache_dir": str(cache)}
    task = _built(path, config)
    names = _names(files, config.get("test_split") or config["validation_split"])
    documents = list(_documents(path, task))
    if rule is None:
        items = [_choice_item(path, task, names, *document) for document in documents]
        return choice_scorer(picked, task.config.target_delimiter), items
    scorer = text_scorer(path.name, task.config.generation_kwargs)
    return scorer, [_text_item(path, task, names, rule, *document) for document in documents]


def _config(path: Path) -> dict[str, Any]:
    """The YAML with what it includes, its functions imported."""
    import yaml

    # reads without building: lm-eval's public loader would download what isn't local
    from lm_eval.tasks._yaml_loader import load_yaml  # pyright: ignore[reportMissingImports]

    try:
        return load_yaml(path)
    except (OSError, ValueError, ImportError, AttributeError, yaml.YAMLError) as error:
        raise SuiteError(f"{path.name} can't be read: {error}", do="mend the YAML and what it includes") from error


def _check(path: Path, config: dict[str, Any]) -> None:
    """Refuse what can't be scored as lm-eval would."""

    def refuse(key: str, why: str, do: str) -> SuiteError:
        return SuiteError(f"{path.name}: {key}: {why}", do=do)

    if "group" in config or isinstance(config.get("task"), list) or "task_list" in config:
        raise refuse("task", "this is a group of tasks", "name one task's YAML for each suite")
    for key in sorted(config.keys() - READ):
        if config[key]:
            raise refuse(key, f"{config[key]!r:.60} isn't supported", "take it out, or write the items as JSONL")
    for key in NEEDED:
        if config.get(key) is None:
            raise refuse(key, "it is missing", "give it")
    if config["output_type"] not in OUTPUTS:
        raise refuse("output_type", f"{config['output_type']!r} isn't supported", f"take {' or '.join(OUTPUTS)}")
    if config["output_type"] == "multiple_choice" and config.get("doc_to_choice") is None:
        raise refuse("doc_to_choice", "it is missing", "give it")
    if config["output_type"] == "multiple_choice" and config.get("filter_list"):
        raise refuse("filter_list", "filters of choices aren't supported", "take it out")
    if config["dataset_path"] not in LOCAL:
        raise refuse(
            "dataset_path",
            f"{config['dataset_path']!r} would be downloaded",
            f"save the data, name {', '.join(LOCAL)} here and the files in dataset_kwargs.data_files",
        )
    if not (config.get("test_split") or config.get("validation_split")):
        raise refuse("test_split", "there is neither it nor validation_split", "name the split that is judged")
    if any(one.get("hf_evaluate") for one in metrics(config)):
        raise refuse("metric_list", "a metric of the evaluate library would be downloaded", "take it out of the list")
    if config.get("repeats", 1) != 1:
        raise refuse("repeats", f"{config['repeats']} answers an item aren't supported", "take 1")


def _data_files(path: Path, config: dict[str, Any], root: Path) -> Any:
    """``dataset_kwargs.data_files`` in its own form, every file by its full path.

    A relative path is looked for beside the YAML, then from the checkout's root, where lm-eval itself would look from.
    """
    where = f"{path.name}: dataset_kwargs.data_files"
    given = (config.get("dataset_kwargs") or {}).get("data_files")
    if not given:
        raise SuiteError(f"{where}: it is missing", do="name the local file, or one a split")

    def found(name: Any) -> str:
        if not isinstance(name, str) or "://" in name:
            raise SuiteError(f"{where}: {name!r} is no local file", do="save the data beside the YAML")
        for folder in (path.parent, root):
            # a full path stays itself
            if glob.glob(str(folder / name)):
                return str((folder / name).absolute())
        raise SuiteError(f"{where}: there is no {name} beside it or in {root}", do="mend the path")

    def each(value: Any) -> Any:
        return [found(name) for name in value] if isinstance(value, list) else found(value)

    return {split: each(value) for split, value in given.items()} if isinstance(given, dict) else each(given)


def _names(files: Any, split: str) -> str:
    """The judged split's files, by name: a path would make the items another suite on another machine."""
    given = files.get(split, []) if isinstance(files, dict) else files
    return ", ".join(Path(one).name for one in ([given] if isinstance(given, str) else given))


def _built(path: Path, config: dict[str, Any]) -> Any:
    """lm-eval's task with its documents, and the requests it would send."""
    from lm_eval.api.task import ConfigurableTask  # pyright: ignore[reportMissingImports]

    config = {key: value for key, value in config.items() if key != "tag"}
    try:
        task = ConfigurableTask(config=config)
        if task.config.num_fewshot is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
        task.build_all_requests()
    except Exception as error:  # the task's templates and functions may raise anything
        raise SuiteError(
            f"{path.name}: lm-eval can't build the task: {type(error).__name__}: {error}",
            do="mend its templates, splits and data until `lm_eval --tasks` runs it",
        ) from error
    if task.multiple_input:
        raise SuiteError(
            f"{path.name}: doc_to_text: it picks one of several contexts, which isn't supported",
            do="put what differs into doc_to_choice, or write the items as JSONL",
        )
    return task


def _documents(path: Path, task: Any) -> Iterator[tuple[int, dict[str, Any], list[tuple[str, Any]]]]:
    """Index, document, and what lm-eval would send to the model for it."""
    requests: dict[int, list[Any]] = {}
    for one in task.instances:
        requests.setdefault(one.metadata[1], []).append(one)
    for index, found in sorted(requests.items()):
        yield index, found[0].doc, [one.args for one in sorted(found, key=lambda one: one.idx)]


def _choice_item(
    path: Path, task: Any, names: str, index: int, doc: dict[str, Any], requests: list[tuple[str, Any]]
) -> Item:
    where = f"{path.name}: document {index} of {names}"
    choices = task.doc_to_choice(doc)
    gold = task.doc_to_target(doc)
    if isinstance(gold, str):
        gold = choices.index(gold) if gold in choices else gold
    if not isinstance(gold, int) or not 0 <= gold < len(choices):
        raise SuiteError(f"{where}: doc_to_target: {gold!r:.60} is none of its {len(choices)} choices", do=CHOSEN)
    if not all(isinstance(choice, str) and choice for choice in choices):
        raise SuiteError(f"{where}: doc_to_choice: {choices!r:.80} has a choice that is empty or no text", do=CHOSEN)
    # behind these, a task with acc_mutual_info asks for the choices alone
    context = requests[0][0]
    sent = [(context, task.config.target_delimiter + choice) for choice in choices]
    if requests[: len(choices)] != sent:
        raise SuiteError(f"{where}: lm-eval would send something else than context and choice", do=CHOSEN)
    return _item(where, task, names, path, index, context, {"choices": tuple(choices), "answer": gold})


def _text_item(
    path: Path, task: Any, names: str, rule: TextRule, index: int, doc: dict[str, Any], requests: list[tuple[str, Any]]
) -> Item:
    where = f"{path.name}: document {index} of {names}"
    gold = task.doc_to_target(doc)
    if task.config.doc_to_choice is not None:
        gold = task.doc_to_choice(doc)[gold]
    if isinstance(gold, list) != bool(task.multiple_target):
        raise SuiteError(f"{where}: doc_to_target: some documents have several answers, others one", do=CHOSEN)
    texts = tuple(gold) if isinstance(gold, list) else (str(gold),)
    return _item(where, task, names, path, index, requests[0][0], {"checks": (rule.check(where, texts),)})


def _item(where: str, task: Any, names: str, path: Path, index: int, context: str, rest: dict[str, Any]) -> Item:
    try:
        return Item(
            id=f"{task.config.task}-{index:05d}",
            provenance=f"{path.name}: {names} document {index}",
            messages=(Message(role="user", content=context),),
            **rest,
        )
    except ValidationError as error:
        raise SuiteError(f"{where}: {reason_of(error)}", do="mend or remove this document") from None
