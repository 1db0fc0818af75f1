"""Price lists, series of days, tariffs in bands, charts of distances.

The structure says what is looked up, how it is combined, and on which side of a border it lies.
"""

from itertools import pairwise
from random import Random

from expectations.model.reasoning.dates import DAYS
from expectations.model.reasoning.surface import PLACES, Draft, named, numeric, people, picked

DISHES = ("tea", "soup", "cake", "salad", "juice", "bread", "rice", "milk", "pasta", "cheese")


def price_list(rng: Random) -> Draft | None:
    """A price list and orders: what an order costs, who pays how much more, what can still be bought."""
    (x, y), dishes, prices = people(rng, 2), rng.sample(DISHES, 3), rng.sample(range(2, 10), 3)
    orders = [[rng.randint(0, 4) for _ in dishes] for _ in range(2)]
    kinds = [sum(count > 0 for count in order) for order in orders]
    if min(kinds) < 2:
        return None
    a, b = (sum(count * price for count, price in zip(order, prices, strict=True)) for order in orders)
    told = [
        f"{name} orders {' and '.join(f'{count} {dish}' for count, dish in zip(order, dishes, strict=True) if count)}"
        for name, order in zip((x, y), orders, strict=True)
    ]
    menu = ", ".join(f"{dish} {price} dollars" for dish, price in zip(dishes, prices, strict=True))
    start = rng.choice((f"Prices in {rng.choice(PLACES)}: {menu}.", f"A menu says: {menu}."))
    note, unit, kind = (
        10 * (a // 10 + rng.randint(1, 3)),
        "dollars",
        rng.choice(("cost", "both", "gap", "change", "more", "split")),
    )
    slips = [sum(prices), sum(orders[0]), a - prices[0], a + prices[1], a + prices[-1]]
    structure = (
        f"{kind} {kinds[0]} kinds"
        if kind in ("cost", "change", "more")
        else f"{kind} {min(kinds)} and {max(kinds)} kinds"
    )
    match kind:
        case "cost":
            question, answer, wrong = f"{told[0]}. What does {x} pay?", a, slips
        case "change":
            question = f"{told[0]} and pays with {note} dollars. What is the change?"
            answer, wrong = note - a, [note - slip for slip in slips]
        case "both":
            question = f"{'; '.join(told)}. What do they pay together?"
            answer, wrong = a + b, [a, b, a + b + prices[0], a + b - prices[-1]]
        case "gap":
            question = f"{'; '.join(told)}. How much more does {x} pay?"
            answer, wrong = a - b, [a + b, a, b, sum(orders[0]) - sum(orders[1])]
        case "more":
            place = rng.randrange(3)
            answer, left = divmod(note - a, prices[place])
            structure += "" if left else " exactly"
            question = f"{told[0]} and has {note} dollars. For how many more {dishes[place]} is the rest enough?"
            wrong, unit = [answer + 1, note // prices[place], note - a, answer + 2], ""
        case _:
            if (a - b) % 2:
                return None
            question = f"{'; '.join(told)}. They split the bill evenly. How much less than the own order does {x} pay?"
            answer, wrong = (a - b) // 2, [a - b, (a + b) // 2, a, b]
    return numeric(rng, structure, f"{start} {question}", answer, wrong, unit)


MEASURES = (
    ("rainfall", "mm"), ("guests", "people"), ("output", "tonnes"), ("sales", "boxes"), ("traffic", "cars"),
    ("harvest", "litres"), ("mail", "letters"),
)  # fmt: skip


def series(rng: Random) -> Draft | None:
    """Numbers of five days in a row: rises and falls, sums of parts, thresholds, positions."""
    (what, unit), place, first = rng.choice(MEASURES), rng.choice(PLACES), rng.randrange(3)
    values, days = rng.sample(range(5, 61), 5), [DAYS[first + k] for k in range(5)]
    steps = [b - a for a, b in pairwise(values)]
    text = rng.choice((", ", "; ")).join(f"{day} {value}" for day, value in zip(days, values, strict=True))
    start = f"{what.capitalize()} in {place} in {unit}: {text}."
    k, limit = rng.randint(5, 15), sorted(values)[rng.choice((2, 3))] - 1
    kind = rng.choice(
        (
            "rise",
            "fall",
            "rises",
            "above",
            "below",
            "running",
            "net",
            "pair",
            "mean",
            "jumps",
            "halves",
            "middle",
            "gap",
        )
    )
    structure = kind
    match kind:
        case "rise" | "fall":
            signed = steps if kind == "rise" else [-step for step in steps]
            if sorted(signed)[-1] == sorted(signed)[-2] or max(signed) < 1:
                return None
            question = f"{start} On which day was the {kind} from the day before greatest?"
            return named(rng, kind, question, days[signed.index(max(signed)) + 1], days)
        case "above" | "below":
            fits = [day for day, value in zip(days, values, strict=True) if (value > limit) == (kind == "above")]
            words = f"first above {limit}" if kind == "above" else f"last at or below {limit}"
            question = f"{start} On which day was it {words}?"
            return named(rng, kind, question, fits[0 if kind == "above" else -1], days)
        case "running":
            place_of = rng.choice((2, 3))
            target = sum(values[: place_of + 1]) - rng.randint(1, values[place_of] - 1)
            question = f"{start} On which day did the total so far first reach {target}?"
            return named(rng, f"running {place_of}", question, days[place_of], days)
        case "rises" | "jumps":
            least = 1 if kind == "rises" else k
            answer, wrong = sum(step >= least for step in steps), [0, 1, 2, 3, 4]
            words = "higher than" if kind == "rises" else f"at least {k} {unit} above"
            question = f"{start} On how many days was it {words} the day before?"
            return numeric(rng, kind, question, answer, wrong, least=0)
        case "mean":
            if sum(values) % 5:
                return None
            answer = sum(value * 5 > sum(values) for value in values)
            question = f"{start} On how many of these days was it above the average of the five?"
            return numeric(rng, kind, question, answer, [1, 2, 3, 4, 5], least=0)
        case "net":
            question, answer = f"By how much do {days[0]} and {days[-1]} differ?", abs(values[-1] - values[0])
            structure += " up" if values[-1] > values[0] else " down"
            wrong = [*(abs(step) for step in steps), max(values) - min(values)]
        case "pair":
            pairs = [a + b for a, b in pairwise(values)]
            question, answer = "What is the largest total of two days in a row?", max(pairs)
            structure += " with the peak" if max(values) * 2 > answer and max(values) in values[:-1] else ""
            wrong = [sum(sorted(values)[-2:]), *pairs]
        case "middle":
            question, answer = "What is the middle one of the five numbers by size?", sorted(values)[2]
            return picked(rng, kind, f"{start} {question}", answer, values, unit)
        case "gap":
            question, answer = (
                "By how much is the highest number above the second highest?",
                sorted(values)[-1] - sorted(values)[-2],
            )
            wrong = [*(abs(step) for step in steps), max(values) - min(values)]
        case _:
            early, late = sum(values[:2]), sum(values[3:])
            question, answer = (
                "By how much do the totals of the first two and the last two days differ?",
                abs(late - early),
            )
            structure += " late" if late > early else " early"
            wrong = [late + early, abs(late - early + values[2]), abs(values[0] - values[-1]), late]
    return numeric(rng, structure, f"{start} {question}", answer, wrong, unit)


TARIFFS = (
    ("parcel", "kg", "weighs"), ("car", "hours", "parks for"), ("call", "minutes", "lasts"),
    ("boat", "hours", "is hired for"), ("locker", "days", "is kept for"), ("telegram", "words", "has"),
)  # fmt: skip


def bands(rng: Random) -> Draft | None:
    """A tariff in bands: what something costs, two apart or as one, the most for a price, the rise between two."""
    (name,), place, (thing, unit, verb) = people(rng, 1), rng.choice(PLACES), rng.choice(TARIFFS)
    limits, prices = sorted(rng.sample(range(2, 20), 3)), sorted(rng.sample(range(3, 30), 4))
    (first, second, third), (w, x, y, z) = limits, prices
    text = f"up to {first} {unit}: {w} dollars, up to {second}: {x}, up to {third}: {y}, above: {z}"
    start = f"{place}'s tariff per {thing}: {text}."

    def band(amount: int) -> int:
        return sum(amount > limit for limit in limits)

    a, b = (rng.randint(2, limits[2] + 3) for _ in range(2))
    kind, answer_unit = rng.choice(("one", "edge", "two", "joined", "budget", "rise")), "dollars"
    costs = (prices[band(a)], prices[band(b)])
    low, high = min(a, b), max(a, b)
    same, above = "one" if band(a) == band(b) else "another", ("", "", "", " above all")
    match kind:
        case "one" | "edge":
            amount = a if kind == "one" else rng.choice(limits)
            if kind == "one" and a in limits:
                return None
            structure, answer, wrong = f"{kind}{above[band(amount)]}", prices[band(amount)], list(prices)
            question = f"{name}'s {thing} {verb} {amount} {unit}. What does that cost?"
            return picked(rng, structure, f"{start} {question}", answer, wrong, answer_unit)
        case "two":
            structure = f"two of {same} band{above[band(high)]}"
            question = f"{name} has one {thing} of {a} and one of {b} {unit}. What do they cost together?"
            answer, wrong = sum(costs), [prices[band(a + b)], *costs, 2 * max(costs)]
        case "joined":
            answer = sum(costs) - prices[band(a + b)]
            structure = f"joined from {same} band{above[band(a + b)]}"
            question = f"How much is saved by one {thing} of {a + b} {unit} instead of two of {a} and {b}?"
            wrong = [prices[band(a + b)], sum(costs), *costs]
        case "budget":
            budget = rng.randint(prices[0], prices[3] - 1)
            answer = max(limit for limit, price in zip(limits, prices, strict=False) if price <= budget)
            structure, answer_unit = "budget", unit
            question = f"{name} can spend {budget} dollars. What is the most that the {thing} can have?"
            wrong = [*limits, limits[2] + 1, answer + 1]
        case _:
            structure = f"rise{above[band(high)]}"
            question = f"How much more does {name} pay for {high} {unit} than for {low}?"
            answer, wrong = abs(costs[0] - costs[1]), [*costs, high - low, sum(costs)]
    return numeric(rng, structure, f"{start} {question}", answer, wrong, answer_unit)


def distances(rng: Random) -> Draft | None:
    """Roads between four places, named by letters: ways over others, the shortest, round trips, what a detour costs."""
    towns = a, b, c, d = rng.sample("ABCDEFGHJKLMNPQRSTUVWXYZ", 4)
    km = {pair: rng.randint(5, 40) for pair in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3))}
    text = ", ".join(f"{towns[i]}-{towns[j]} {length}" for (i, j), length in rng.sample(sorted(km.items()), 5))
    start = f"Roads in km between places near {rng.choice(PLACES)}: {text}."
    direct, over_c, over_d = km[(0, 1)], km[(0, 2)] + km[(1, 2)], km[(0, 3)] + km[(1, 3)]
    kind = rng.choice(("over", "shortest", "round", "detour", "better", "tour", "there and back", "longer way back"))
    structure = kind
    match kind:
        case "over":
            question, answer = f"How long is the way from {a} to {b} over {c}?", over_c
            wrong = [direct, over_d, km[(0, 2)], km[(1, 2)], over_c + direct]
        case "shortest":
            answer = min(direct, over_c, over_d)
            structure += " direct" if answer == direct else " over one"
            question = f"How long is the shortest way from {a} to {b}, direct or over one other place?"
            wrong = [direct, over_c, over_d]
        case "round":
            question, answer = f"How long is the round trip {a}, {b}, {c} and back to {a}?", direct + over_c
            wrong = [over_c, answer - km[(0, 2)], answer + direct, over_d + direct]
        case "detour":
            question = f"How many km longer is the way from {a} to {b} over {c} than the direct one?"
            answer, wrong = over_c - direct, [over_c, direct, abs(over_d - direct), over_c + direct]
        case "better":
            near, far = (c, d) if over_c < over_d else (d, c)
            question = f"From {a} to {b}, how many km does the way over {near} save against the one over {far}?"
            answer = abs(over_c - over_d)
            wrong = [over_c, over_d, abs(km[(0, 2)] - km[(0, 3)]), over_c + over_d]
        case "there and back":
            question, answer = (
                f"How long is it from {c} over {a} to {d} and the same way back?",
                2 * (km[(0, 2)] + km[(0, 3)]),
            )
            wrong = [answer // 2, answer // 2 + over_c, 2 * over_c, answer + direct]
        case "longer way back":
            question = f"{a} to {b} is done directly, the way back over {d}. How long is it in all?"
            answer, wrong = direct + over_d, [2 * direct, over_d, 2 * over_d, direct + over_c]
        case _:
            question, answer = f"How long is the tour {c}, {a}, {d}, {b}, {c}?", over_c + over_d
            wrong = [over_c + over_d + direct, over_c + direct, over_d + direct, over_c + over_d - km[(1, 2)]]
    return numeric(rng, structure, f"{start} {question}", answer, wrong, "km")
