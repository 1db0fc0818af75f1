"""Solves problems of directions from their text alone, with complex numbers as places."""

import re
from collections.abc import Callable
from itertools import pairwise, product

from tests.unit.gate.solve_words import Answer, find, only

COLUMNS = "abcdefgh"
POINTS = {"north": 1j, "south": -1j, "east": 1 + 0j, "west": -1 + 0j}


def bearing(spot: complex) -> str:
    vertical = [name for name in ("north", "south") if spot.imag * POINTS[name].imag > 0]
    level = [name for name in ("east", "west") if spot.real * POINTS[name].real > 0]
    return "-".join(vertical + level)


def walk(text: str) -> Answer:
    legs = re.findall(
        r"(\d+) (\w+) (north|south|east|west)\b", text.split("that end", maxsplit=1)[0].split("?", maxsplit=1)[0]
    )
    spot = sum(int(length) * POINTS[way] for length, _, way in legs)
    total = sum(int(length) for length, *_ in legs)
    if "In which direction" in text:
        return bearing(spot)
    if "straight back" in text:
        return f"{abs(spot):.0f} {legs[0][1]} {bearing(-spot)}"
    if "shortest way" in text:
        return total - int(abs(spot.real) + abs(spot.imag))
    if "north or south" in text or "east or west" in text:
        return int(abs(spot.imag if "north or south" in text else spot.real))
    return round(abs(spot))


def turned(facing: complex, words: str) -> complex:
    for way in re.findall(r"turns (left|right round|right)", words):
        facing *= {"left": 1j, "right": -1j, "right round": -1}[way]
    return facing


def name_of(facing: complex) -> str:
    return next(name for name, way in POINTS.items() if abs(way - facing) < 0.1)


def turning(text: str, choices: list[str]) -> Answer:
    ways = [POINTS[way] for way in re.findall(r"north|east|south|west", text)]
    if "degrees" in text:
        eighths = ["north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"]
        spot = eighths.index(next(name for name, way in POINTS.items() if way == ways[0])) * 45
        for degrees, way in re.findall(r"(\d+) degrees (clockwise|anticlockwise)", text):
            spot += int(degrees) if way == "clockwise" else -int(degrees)
        return eighths[spot % 360 // 45]
    if "at first" in text:
        return next(name for name, way in POINTS.items() if turned(way, text) == ways[0])
    end = turned(ways[0], text.split("Which turn", maxsplit=1)[0])
    if "Which turn" in text:
        turns = {"a left turn": 1j, "a right turn": -1j, "a half turn": -1, "no turn at all": 1}
        return next(choice for choice in choices if end * turns[choice] == ways[-1])
    return name_of(-end if "lies behind" in text else end)


def map_walk(text: str) -> Answer:
    first = re.search(r"goes (\d+) \w+ (north|east|south|west)", text)
    assert first
    facing = POINTS[first[2]]
    spot = int(first[1]) * facing
    for way, length in re.findall(r"turns (left|right) and goes (\d+)", text):
        facing = turned(facing, f"turns {way}")
        spot += int(length) * facing
    if "at the end" in text:
        return name_of(facing)
    return bearing(spot) if "In which direction" in text else round(abs(spot))


def places(text: str) -> Answer:
    links = re.findall(r"(\w+) lies (\d+) km (\w+) of (\w+)", text)
    at = {links[0][3]: 0j}
    for _ in links:
        for x, km, way, y in links:
            if y in at:
                at.setdefault(x, at[y] + int(km) * POINTS[way])
            elif x in at:
                at.setdefault(y, at[x] - int(km) * POINTS[way])
    if found := re.search(r"does (\w+) lie from (\w+)", text):
        return bearing(at[found[1]] - at[found[2]])
    found = re.search(r"from (\w+) to (\w+)\?", text)
    assert found
    return round(abs(at[found[1]] - at[found[2]]))


def floors(text: str) -> Answer:
    told = text.split(". ", maxsplit=1)[0]
    moves = [int(count) if way == "up" else -int(count) for count, way in re.findall(r"(\d+) (up|down)", told)]
    if now := re.search(r"now on level (\d+)", told):
        return only([start for start in range(100) if start + sum(moves) == int(now[1])])
    levels = [int(find(r"level (\d+)", told)[1])]
    for move in moves:
        levels.append(levels[-1] + move)
    if "highest" in text or "lowest" in text:
        return max(levels) if "highest" in text else min(levels)
    if "pass in all" in text:
        return sum(abs(a - b) for a, b in pairwise(levels))
    return abs(levels[0] - levels[-1]) if "apart" in text else levels[-1]


def board(text: str) -> Answer:
    def end(square: str) -> str:
        column, row = COLUMNS.index(square[0]), int(square[1])
        for count, way in re.findall(r"(\d) squares ((?:up|down|left|right)(?: left| right)?)", text):
            column += int(count) * (("right" in way) - ("left" in way))
            row += int(count) * (("up" in way) - ("down" in way))
        return f"{COLUMNS[column] if 0 <= column < 8 else '?'}{row}"

    squares = [f"{column}{row}" for column, row in product(COLUMNS, range(1, 9))]
    if found := re.search(r"stands on (\w\d)", text):
        fits = [square for square in squares if end(square) == found[1]]
        return fits[0] if len(fits) == 1 else None
    return end(find(r"moves from (\w\d)", text)[1])


SOLVERS: dict[str, Callable[[str], Answer]] = {
    "walk": walk, "map-walk": map_walk, "places": places, "floors": floors, "board": board,
}  # fmt: skip
CHOOSERS: dict[str, Callable[[str, list[str]], Answer]] = {"turning": turning}
