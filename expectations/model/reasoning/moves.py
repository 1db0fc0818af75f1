"""Levels of a lift, squares of a board. The structure is the chain of moves and the question."""

from random import Random

from expectations.model.reasoning.surface import PLACES, Draft, named, numeric, people

WAYS = {
    "up": (0, 1), "down": (0, -1), "right": (1, 0), "left": (-1, 0),
    "up right": (1, 1), "down left": (-1, -1), "up left": (-1, 1), "down right": (1, -1),
}  # fmt: skip


def floors(rng: Random) -> Draft | None:
    """A lift that goes up and down: where it ends, where it began, how far it went, the highest floor."""
    (name,), building, start = (
        people(rng, 1),
        rng.choice(("tower", "hotel", "car park", "hospital")),
        rng.randint(5, 20),
    )
    moves = [rng.choice((1, -1)) * rng.randint(2, 9) for _ in range(rng.choice((2, 3, 3, 4)))]
    levels = [start]
    for move in moves:
        levels.append(levels[-1] + move)
    if min(levels) < 1 or levels[-1] == start:
        return None
    told = ", then ".join(f"{abs(move)} {'up' if move > 0 else 'down'}" for move in moves)
    ask = rng.choice(("end", "start", "total", "highest", "lowest", "back"))
    form, place = "".join("+" if move > 0 else "-" for move in moves), rng.choice(PLACES)
    begin = f"In a {building} in {place}, {name} starts on level {start} and goes {told}."
    match ask:
        case "end":
            prompt, answer = f"{begin} On which level is that?", levels[-1]
            wrong = [
                start - sum(moves),
                sum(abs(move) for move in moves),
                levels[-2],
                start + sum(abs(move) for move in moves),
            ]
        case "start":
            begin = f"In a {building} in {place}, {name} goes {told} and is now on level {levels[-1]}."
            prompt = f"{begin} On which level was the start?"
            answer, wrong = start, [levels[-1] + sum(moves), levels[-1], levels[-1] + moves[0], levels[-1] - moves[0]]
        case "total":
            prompt, answer = f"{begin} How many levels does that pass in all?", sum(abs(move) for move in moves)
            wrong = [abs(sum(moves)), levels[-1], answer - abs(moves[0]), start + answer]
        case "highest" | "lowest":
            answer = max(levels) if ask == "highest" else min(levels)
            prompt, wrong = f"{begin} What is the {ask} level on the way?", [*levels, answer + 2]
        case _:
            prompt, answer = f"{begin} How many levels apart are the start and the end?", abs(sum(moves))
            wrong = [sum(abs(move) for move in moves), levels[-1], abs(moves[-1]), answer + 2]
    return numeric(rng, f"{form} {ask}", prompt, answer, wrong)


def square(column: int, row: int) -> str:
    return f"{'abcdefgh'[column % 8]}{(row - 1) % 8 + 1}"


def board(rng: Random) -> Draft | None:
    """A piece on a board of letters and numbers: where moves lead, or where they began."""
    a, b, (name,) = rng.randrange(8), rng.randint(1, 8), people(rng, 1)
    moves = [(rng.choice(tuple(WAYS)), rng.randint(2, 4)) for _ in range(rng.choice((1, 2, 2, 3)))]
    x, y = a, b
    for way, count in moves:
        x, y = x + WAYS[way][0] * count, y + WAYS[way][1] * count
        if not (0 <= x < 8 and 1 <= y <= 8):
            return None
    if (x, y) == (a, b):
        return None
    piece = rng.choice(("token", "counter", "coin", "piece", "stone", "figure"))
    told = ", then ".join(f"{count} squares {way}" for way, count in moves)
    rule = f"Columns run a to h to the right, rows 1 to 8 upwards. {name}'s {piece}"
    form = " ".join("slant" if " " in way else "straight" for way, _ in moves)
    if rng.randrange(2):
        prompt = f"{rule} moves from {square(a, b)} {told}. Where is it?"
        wrong = [
            square(2 * a - x, 2 * b - y),
            square(x, b),
            square(a, y),
            square(a + y - b, b + x - a),
            square(x + 1, y),
        ]
        return named(rng, f"{form} end", prompt, square(x, y), wrong)
    prompt = f"{rule} moves {told} and stands on {square(x, y)}. Where was it before?"
    wrong = [square(2 * x - a, 2 * y - b), square(x, b), square(a, y), square(a + 1, b), square(a, b - 1)]
    return named(rng, f"{form} start", prompt, square(a, b), wrong)
