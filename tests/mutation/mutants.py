"""Mutants of a module: its source with one thing changed, by Cosmic Ray's operators and one of ours.

Operators are kept where a change can be quiet. Left out is what hardly any test could miss and would only flatter the
rate (a power or a remainder instead of a sum; bit operators and identity on numbers), what can't be told apart from
another mutant, and what Python doesn't run (annotations, docstrings). Strings are not changed.
"""

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import parso.python.tree
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

# what is replaced, and by what
BINARY = (
    (("Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"), ("Add", "Sub", "Mul", "Div")),
    (("BitOr", "BitAnd", "BitXor"), ("BitOr", "BitAnd", "BitXor")),
)
COMPARISON = (
    (("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"), ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE")),
    (("Is", "IsNot"), ("Is", "IsNot")),
)
SINGLE = (
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_Invert",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ExceptionReplacer",
    "NumberReplacer",
    "RemoveDecorator",
    "ZeroIterationForLoop",
)

# names that are easily taken for each other: the other end, the other tail
SWAPPED = (("min", "max"), ("any", "all"), ("floor", "ceil"), ("cdf", "sf"), ("ppf", "isf"))


class Key(NamedTuple):
    """What names a mutant, whatever stands around it; ``function`` is empty at module level."""

    module: str
    function: str
    before: str
    after: str
    operator: str


class Mutant(NamedTuple):
    """One change, and the whole module with it."""

    key: Key
    line: int
    source: str


def swap(old: str, new: str) -> Operator:
    """An operator that replaces one name with another."""

    class SwapName(Operator):
        # Cosmic Ray's abstract methods have no annotations, so a type checker takes them to return None
        def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
            if isinstance(node, parso.python.tree.Name) and node.value == old:
                yield node.start_pos, node.end_pos

        def mutate(self, node: Any, index: int) -> Any:
            node.value = new
            return node

        @classmethod
        def examples(cls) -> tuple[()]:  # pyright: ignore[reportIncompatibleMethodOverride]
            return ()

    return SwapName()


@cache
def operators() -> dict[str, Any]:
    """Name to operator."""
    pairs = [
        f"Replace{kind}Operator_{old}_{new}"
        for kind, groups in (("Binary", BINARY), ("Comparison", COMPARISON))
        for olds, news in groups
        for old, new in itertools.product(olds, news)
        if old != new
    ]
    theirs = {name: get_operator(f"core/{name}")() for name in (*pairs, *SINGLE)}
    ours = {f"SwapName_{a}_{b}": swap(a, b) for pair in SWAPPED for a, b in itertools.permutations(pair)}
    return theirs | ours


def mutants_of(root: Path, module: str, wanted: Callable[[str, str], bool] = lambda line, name: True) -> list[Mutant]:
    """All mutants of a module, in the order of its lines.

    Args:
        module: path from ``root``.
        wanted: of a source line's code and an operator's name; other mutants aren't made (each takes some 0.03 s).
    """
    source = (root / module).read_text()
    lines = source.splitlines()
    nodes = list(ast_nodes(get_ast(source)))
    seen, found = {_meaning(source)}, []
    for name, operator in operators().items():
        places = [(node, place) for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, (node, ((row, _), _)) in enumerate(places):
            # a * among parameters is taken for a product
            if getattr(node.parent, "type", "") == "parameters" or not wanted(_code(lines[row - 1]), name):
                continue
            mutated = mutate_code(source, operator, occurrence)
            if mutated is None:
                raise RuntimeError(
                    f"{name} finds no place number {occurrence} in {module}, and had found {len(places)}"
                )
            meaning = _meaning(mutated)
            if meaning not in seen:
                seen.add(meaning)
                found.append(_described(module, lines, row, name, mutated))
    return sorted(found, key=lambda one: (one.line, one.key))


def _meaning(source: str) -> str:
    """The syntax tree without annotations and docstrings: equal for equal programs."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(0)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(0)
    return ast.dump(tree)


# what a replaced number brings with it
_SPACE = re.compile(r"(?<=[(\[:]) (?=[-\d])|(?<=[(\[]-) (?=\d)|(?<=\w=) (?=[-\d])|(?<= ) +")


def _described(module: str, lines: list[str], row: int, operator: str, mutated: str) -> Mutant:
    changed = mutated.splitlines()
    after = _code(changed[row - 1]) if len(changed) == len(lines) else "(removed)"
    after = _SPACE.sub("", after)
    return Mutant(Key(module, _function_at(lines, row), _code(lines[row - 1]), after, operator), row, mutated)


def _code(line: str) -> str:
    """A line without its indentation and its comment."""
    return line.split("  # ", maxsplit=1)[0].strip()


def _function_at(lines: list[str], line: int) -> str:
    """Dotted name of the innermost function or class around a line; decorators belong to it."""
    names: list[str] = []

    def descend(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                if first <= line <= (node.end_lineno or first):
                    names.append(node.name)
                    descend(node.body)

    descend(ast.parse("\n".join(lines)).body)
    return ".".join(names)


class Listed(NamedTuple):
    """A survivor that survivors.md names, and why it may survive."""

    key: Key
    reason: str


_ENTRY = re.compile(r"- (?:`(?P<function>[\w.]+)`: )?`(?P<before>.+)` → `(?P<after>.+)` \((?P<operator>\w+)\)")


def entry_of(key: Key) -> str:
    """A mutant's line in survivors.md."""
    where = f"`{key.function}`: " if key.function else ""
    return f"- {where}`{key.before}` → `{key.after}` ({key.operator})"


def listed(text: str) -> list[Listed]:
    """What survivors.md names: under a module's heading, a paragraph with the reason, then its mutants, one a line.

    Raises:
        ValueError: a line that is neither, or a mutant without a module or a reason.
    """
    module, reason, found = "", "", []
    before = ""
    for line in text.splitlines():
        if line.startswith("## "):
            module, reason = line[3:].strip(), ""
        elif line.startswith("- "):
            entry = _ENTRY.fullmatch(line)
            if entry is None or not module or not reason:
                raise ValueError(f"{line!r} names no survivor of a module with a reason above it")
            key = Key(module, entry["function"] or "", entry["before"], entry["after"], entry["operator"])
            found.append(Listed(key, reason))
        elif line.strip():
            reason = f"{reason} {line}" if before.strip() and not before.startswith(("- ", "#")) else line
        before = line
    return found
