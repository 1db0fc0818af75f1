"""Bare calculation: numbers thought of, terms with brackets or in words. The structure is the tree of operations."""

from random import Random

from expectations.model.reasoning.surface import Draft, numeric, people

Tree = int | tuple[str, "Tree", "Tree"]

DONE = {"add": "adds {k}", "take": "subtracts {k}", "times": "multiplies by {k}", "over": "divides by {k}"}
TOLD = {"add": "add {k}", "take": "subtract {k}", "times": "multiply by {k}", "over": "divide by {k}"}
UNDO = {"add": "take", "take": "add", "times": "over", "over": "times"}


def step(value: int, kind: str, k: int) -> int | None:
    """One operation; None where it leaves the whole numbers from 0 to 500."""
    result = {
        "add": value + k,
        "take": value - k,
        "times": value * k,
        "over": value // k if k and value % k == 0 else -1,
    }[kind]
    return result if 0 <= result <= 500 else None


def walk(value: int, steps: list[tuple[str, int]]) -> int | None:
    result: int | None = value
    for kind, k in steps:
        result = step(result, kind, k) if result is not None else None
    return result


def number_puzzle(rng: Random) -> Draft | None:
    """A chain of operations on one number, forwards or to be undone."""
    start, steps = rng.randint(3, 30), []
    for _ in range(rng.choice((2, 3, 3, 4))):
        kind = rng.choice([kind for kind in DONE if not steps or kind != steps[-1][0]])
        steps.append((kind, rng.randint(2, 6) if kind in ("times", "over") else rng.randint(2, 19)))
    end = walk(start, steps)
    if end is None or end == start:
        return None
    structure = "-".join(kind for kind, _ in steps)
    slips = [walk(start, steps[:place] + steps[place + 1 :]) for place in range(len(steps))]
    for place, (kind, k) in enumerate(steps):
        slips.append(walk(start, [*steps[:place], (UNDO[kind], k), *steps[place + 1 :]]))
    wrong = [value for value in slips if value is not None]
    if rng.randrange(2):
        chain = [TOLD[kind].format(k=k) for kind, k in steps]
        prompt = rng.choice(
            (
                f"Take the number {start}, {', '.join(chain[:-1])} and then {chain[-1]}. What do you get?",
                f"Start from {start}. In turn, {', '.join(chain)}. Which number comes out?",
                f"A machine is fed {start}. Its stages {', '.join(chain)}. What does it give out?",
            )
        )
        return numeric(rng, f"forwards {structure}", prompt, end, wrong)
    (name,), chain = people(rng, 1), [DONE[kind].format(k=k) for kind, k in steps]
    prompt = rng.choice(
        (
            f"{name} thinks of a number, {', '.join(chain[:-1])} and then {chain[-1]}. The result is {end}. "
            "What was the number?",
            f"From a secret number, {name} {', then '.join(chain)}, and gets {end}. What is the secret number?",
        )
    )
    slips += [walk(end, steps), walk(end, [(UNDO[kind], k) for kind, k in steps]), walk(end, steps[::-1])]
    wrong = [value for value in slips if value is not None]
    return numeric(rng, f"backwards {structure}", prompt, start, wrong)


SIGNS = {"add": "+", "take": "−", "times": "×", "over": "÷"}


def value_of(tree: Tree) -> int | None:
    if isinstance(tree, int):
        return tree
    left, right = value_of(tree[1]), value_of(tree[2])
    if left is None or right is None:
        return None
    return step(left, tree[0], right)


def draw_tree(rng: Random, operations: int) -> Tree:
    if operations == 0:
        return rng.randint(2, 12)
    left = rng.randrange(operations)
    return rng.choice(tuple(SIGNS)), draw_tree(rng, left), draw_tree(rng, operations - 1 - left)


def rendered(tree: Tree, parent: str = "", on_right: bool = False) -> list[str]:
    """Tokens with only the brackets that are needed."""
    if isinstance(tree, int):
        return [str(tree)]
    tokens = [*rendered(tree[1], tree[0]), SIGNS[tree[0]], *rendered(tree[2], tree[0], True)]
    loose = tree[0] in ("add", "take")
    tight = parent in ("times", "over")
    needed = (loose and tight) or (on_right and parent in ("take", "over") and loose == (parent == "take"))
    needed = needed or (on_right and parent == "times" and tree[0] == "over")
    return ["(", *tokens, ")"] if needed else tokens


def from_left(tokens: list[str]) -> int | None:
    """The mistake of calculating from left to right, whatever the signs."""
    kinds = {sign: kind for kind, sign in SIGNS.items()}
    value: int | None = int(tokens[0])
    for sign, number in zip(tokens[1::2], tokens[2::2], strict=True):
        value = step(value, kinds[sign], int(number)) if value is not None else None
    return value


def products_first(tokens: list[str]) -> int | None:
    """The mistake of leaving the brackets out."""
    kinds = {sign: kind for kind, sign in SIGNS.items()}
    values: list[int] = [int(tokens[0])]
    pending: list[str] = []
    for sign, text in zip(tokens[1::2], tokens[2::2], strict=True):
        if sign in "×÷":
            product = step(values[-1], kinds[sign], int(text))
            if product is None:
                return None
            values[-1] = product
        else:
            pending.append(sign)
            values.append(int(text))
    total = values[0]
    for sign, number in zip(pending, values[1:], strict=True):
        total += number if sign == "+" else -number
    return total


def expression(rng: Random) -> Draft | None:
    """A term of three or four operations with brackets where they are needed."""
    tree = draw_tree(rng, rng.choice((3, 3, 4)))
    value, tokens = value_of(tree), rendered(tree)
    if value is None or value > 150:
        return None
    plain = [token for token in tokens if token not in "()"]
    if not {"×", "÷"} & set(plain) or not {"+", "−"} & set(plain):
        return None
    text = " ".join(tokens).replace("( ", "(").replace(" )", ")")
    structure = " ".join(token if not token.isdigit() else "n" for token in tokens)
    prompt = rng.choice(
        (
            f"What is {text}?",
            f"Work out {text}.",
            f"Calculate {text}.",
            f"Which number is equal to {text}?",
            f"Find the value of {text}.",
        )
    )
    wrong = [slip for slip in (from_left(plain), products_first(plain)) if slip is not None]
    return numeric(rng, structure, prompt, value, wrong)


PAIRS = {
    "add": "the sum of {a} and {b}",
    "take": "the difference between {a} and {b}",
    "times": "the product of {a} and {b}",
    "over": "the quotient of {a} and {b}",
}
SINGLES = {"double": ("twice {a}", 2), "triple": ("three times {a}", 3), "number": ("{a}", 1)}
TOPS = {
    "add": ("Add {x} to {y}", lambda x, y: y + x),
    "take": ("Subtract {x} from {y}", lambda x, y: y - x),
    "times": ("Multiply {x} by {y}", lambda x, y: x * y),
    "over": ("Divide {x} by {y}", lambda x, y: x // y if y and x % y == 0 else -1),
}


def draw_part(rng: Random) -> tuple[str, str, int, int]:
    """A part in words: its kind, the words, its value, and the value after a typical slip."""
    kind = rng.choice((*PAIRS, *PAIRS, *SINGLES))
    if kind in SINGLES:
        a = rng.randint(3, 15)
        words, factor = SINGLES[kind]
        return kind, words.format(a=a), a * factor, a + (factor if factor > 1 else 0)
    b = rng.randint(2, 9)
    a = b * rng.randint(2, 7) if kind == "over" else b + rng.randint(2, 12)
    value = {"add": a + b, "take": a - b, "times": a * b, "over": a // b}[kind]
    slip = {"add": a - b, "take": a + b, "times": a + b, "over": a - b}[kind]
    return kind, PAIRS[kind].format(a=a, b=b), value, slip


def in_words(rng: Random) -> Draft | None:
    """A term in words: an operation on two parts, each a number or an operation itself."""
    top = rng.choice(tuple(TOPS))
    (kind_x, x, value_x, slip_x), (kind_y, y, value_y, slip_y) = draw_part(rng), draw_part(rng)
    if {kind_x, kind_y} <= set(SINGLES):
        return None
    words, work = TOPS[top]
    value = work(value_x, value_y)
    if not 1 < value < 400:
        return None
    (name,) = people(rng, 1)
    ask = rng.choice((f"What is {name}'s result?", f"Which number does {name} get?", f"What comes out for {name}?"))
    wrong = [
        work(slip_x, value_y),
        work(value_x, slip_y),
        work(value_y, value_x),
        value_x + value_y,
        abs(value_x - value_y),
    ]
    return numeric(rng, f"{top} {kind_x} {kind_y}", f"{words.format(x=x, y=y)}. {ask}", value, wrong)
