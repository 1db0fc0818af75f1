"""Prices, discounts and points. The structure says what is bought how, what changes the price, and what is asked."""

from fractions import Fraction
from random import Random

from expectations.model.reasoning.surface import THINGS, Draft, numeric, people

SINGLE = ("a lamp", "a kettle", "a scarf", "a basket", "a clock", "a jacket", "a rug", "a stool", "a fan", "a toolbox")


def purchase(rng: Random) -> Draft | None:
    """Two or three lines of goods, perhaps an adjustment; total, change, share or what is missing is asked."""
    (name,), things, singles = people(rng, 1), rng.sample(THINGS, 3), rng.sample(SINGLE, 3)
    lines, total, naive, kinds = [], 0, 0, []
    for place in range(rng.choice((1, 2, 2, 3))):
        kind = rng.choice(("many", "one", "free"))
        price = rng.randint(2, 9)
        if kind == "many":
            count = rng.randint(2, 6)
            lines.append(f"{count} {things[place]} at {price} dollars each")
            total, naive = total + count * price, naive + price
        elif kind == "one":
            price = rng.randint(8, 30)
            lines.append(f"{singles[place]} for {price} dollars")
            total, naive = total + price, naive + price
        else:
            count = 3 * rng.randint(1, 3)
            lines.append(f"{count} {things[place]} at {price} dollars each, every third one free")
            total, naive = total + count // 3 * 2 * price, naive + count * price
        kinds.append(kind)
    change = rng.choice(("none", "none", "coupon", "delivery", "half"))
    amount = rng.randint(2, 6)
    told, final = {
        "none": ("", total),
        "coupon": (f" A coupon takes {amount} dollars off.", total - amount),
        "delivery": (f" Delivery adds {amount} dollars.", total + amount),
        "half": (" Everything is then sold at half price.", total // 2),
    }[change]
    if final < 3 or (change == "half" and total % 2):
        return None
    ask = rng.choice(("total", "change", "share", "missing"))
    note, friends, owned = (
        10 * (final // 10 + rng.randint(1, 4)),
        rng.choice((2, 3, 4)),
        rng.randint(2, max(3, final - 2)),
    )
    if (
        (ask == "share" and final % friends)
        or owned >= final
        or (ask == "total" and len(kinds) == 1 and change == "none")
    ):
        return None
    question, answer = {
        "total": (f"How much does {name} pay?", final),
        "change": (f"{name} pays with {note} dollars. How much change is due?", note - final),
        "share": (f"{friends} people split the cost evenly. How much does each pay?", final // friends),
        "missing": (f"{name} has {owned} dollars. How much is missing?", final - owned),
    }[ask]
    wrong = {
        "total": [total, naive, 2 * total - final, final + 5],
        "change": [note - total, note - naive, final, note - 2 * total + final],
        "share": [final, final / 2 if friends == 3 else final / 3, total / friends, final - friends],
        "missing": [total - owned, final, final + owned, naive - owned],
    }[ask]
    begin = rng.choice((f"{name} buys", f"In a shop, {name} chooses", f"{name}'s order is"))
    prompt = f"{begin} {'; '.join(lines)}.{told} {question}"
    return numeric(rng, f"{'+'.join(kinds)} {change} {ask}", prompt, answer, wrong, "dollars")


PERCENT = {
    "up": ("rises by {k} percent", lambda p, k: p * (100 + k) / 100),
    "down": ("falls by {k} percent", lambda p, k: p * (100 - k) / 100),
    "off": ("is cut by {k} dollars", lambda p, k: p - k),
    "on": ("is raised by {k} dollars", lambda p, k: p + k),
    "half": ("is halved", lambda p, k: p / 2),
}
GOODS = ("bicycle", "tent", "camera", "desk", "piano", "sofa", "guitar", "printer", "watch", "fridge", "phone", "bed")


def price_changes(rng: Random) -> Draft | None:
    """A price that changes two or three times, in percent or dollars; the last or the first price is asked."""
    start, steps = Fraction(20 * rng.randint(3, 30)), []
    for _ in range(rng.choice((2, 2, 3))):
        kind = rng.choice(tuple(PERCENT))
        steps.append((kind, rng.choice((10, 20, 25, 50)) if kind in ("up", "down") else rng.randint(2, 12) * 5))

    def follow(price: Fraction, chain: list[tuple[str, int]]) -> Fraction:
        for kind, k in chain:
            price = Fraction(PERCENT[kind][1](price, k))
        return price

    price = start
    for kind, k in steps:
        price = follow(price, [(kind, k)])
        if price.denominator != 1 or price < 5:
            return None
    if price == start or not {"up", "down", "half"} & {kind for kind, _ in steps}:
        return None
    (name,) = people(rng, 1)
    good, place = rng.choice(GOODS), rng.choice(("shop", "market", "catalogue", "web shop"))
    chain = [PERCENT[kind][0].format(k=k) for kind, k in steps]
    told = f"{', then '.join(chain[:-1])} and finally {chain[-1]}"
    structure = "-".join(kind for kind, _ in steps)
    as_dollars = [("on" if kind == "up" else "off", k) if kind in ("up", "down") else (kind, k) for kind, k in steps]
    skipped = [follow(start, steps[:place] + steps[place + 1 :]) for place in range(len(steps))]
    of_first = start + sum(follow(start, [one]) - start for one in steps)
    if rng.randrange(3):
        prompt = f"In {name}'s {place} the price of a {good} is {start} dollars. It {told}. " + rng.choice(
            ("What does it cost then?", "What is the price in the end?")
        )
        return numeric(
            rng, f"{structure} last", prompt, int(price), [*skipped, of_first, follow(start, as_dollars)], "dollars"
        )
    prompt = f"In {name}'s {place} the price of a {good} {told}. It is now {price} dollars. " + rng.choice(
        ("What was it at first?", f"What did the {good} cost before all this?")
    )
    back = [follow(price, [("down" if kind == "up" else "up", k)]) for kind, k in steps if kind in ("up", "down")]
    return numeric(
        rng, f"{structure} first", prompt, int(start), [*back, *skipped, follow(price, as_dollars)], "dollars"
    )


def points(rng: Random) -> Draft | None:
    """Three ways to score, whose counts are given directly or through each other; the score or a count is asked."""
    (name,) = people(rng, 1)
    good, fair, bad = rng.sample(
        (("red", "blue", "grey"), ("gold", "silver", "bronze"), ("round", "square", "flat")), 1
    )[0]
    win, mid, lose = rng.randint(5, 9), rng.randint(2, 4), rng.randint(1, 3)
    first, second_kind = rng.randint(3, 9), rng.choice(("direct", "twice", "more", "fewer"))
    k = rng.randint(2, 4)
    second = {"direct": rng.randint(2, 9), "twice": 2 * first, "more": first + k, "fewer": first - k}[second_kind]
    third_kind = rng.choice(("direct", "rest", "same"))
    third = first if third_kind == "same" else rng.randint(2, 6)
    sign = rng.choice((1, -1))
    if second < 2:
        return None
    score, count = win * first + mid * second + sign * lose * third, first + second + third
    if score < 5:
        return None
    counts = [
        f"{first} {good}",
        {
            "direct": f"{second} {fair}",
            "twice": f"twice as many {fair}",
            "more": f"{k} more {fair} than {good}",
            "fewer": f"{k} fewer {fair} than {good}",
        }[second_kind],
        {"direct": f"{third} {bad}", "rest": f"the rest {bad}", "same": f"as many {bad} as {good}"}[third_kind],
    ]
    rules = (
        f"A {good} token scores {win}, a {fair} one {mid}, and a {bad} one {'scores' if sign > 0 else 'loses'} {lose}."
    )
    drew = f"{name} draws {count} tokens:" if third_kind == "rest" else f"{name} draws"
    ask = rng.choice(("score", "target"))
    target = score + rng.randint(3, 20)
    question = {
        "score": "What is the score?",
        "target": f"How many points are missing to reach {target}?",
    }[ask]
    answer = score if ask == "score" else target - score
    other = score - 2 * sign * lose * third
    wrong = [score - sign * lose * third, other, score - mid * second + mid * first, win * first + mid * second]
    if ask == "target":
        wrong = [target - value for value in wrong] + [score]
    prompt = f"{rules} {drew} {counts[0]}, {counts[1]} and {counts[2]}. {question}"
    return numeric(rng, f"{second_kind} {third_kind} {'+' if sign > 0 else '-'} {ask}", prompt, answer, wrong, "points")
