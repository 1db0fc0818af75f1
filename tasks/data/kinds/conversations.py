"""Service logs: what people did with a bot's answers becomes pairs and weak labels (docs/guides/data.md, "Kinds").

An answer is used once, by the strongest thing that is known of it: an edit, a regeneration, a thumb, a hand-over, an
escalation or resolution, and at last that a person wrote it. The weights are chosen, not measured.
"""

import re
from collections.abc import Iterator
from typing import Any

from tasks.data.kinds.fields import common, part_id
from tasks.data.kinds.runs import Log, Part, Run, join, read_log
from tasks.data.kinds.turns import Event, flag, turns_of
from tasks.data.records import Record
from tasks.data.rows import Built

WEIGHTS = {
    "edit": 1.0,
    "regenerate": 1.0,
    "thumb": 1.0,
    "hand-over": 1.0,
    "accepted": 0.5,  # a draft that a person sent as it was
    "handed-over": 0.5,  # the bot's last answer, where what came between keeps it from being a pair
    "escalated": 0.5,
    "resolved": 0.5,
    "answer": 0.25,  # a person wrote it; nothing says how well
}
MIN_WORDS = 5  # shorter answers ("one moment please") are no answer that anything is to be learnt from

_ASKS = re.compile(
    r"\b(agent|human|person|people|someone|somebody|representative|operator|advis[eo]r"
    r"|mensch\w*|mitarbeiter\w*|berater\w*|jemand\w*|humain|conseill\w+|quelqu.un|persona|humano|agente|operador\w*|asesor\w*)\b",
    re.IGNORECASE,
)


def service_log(record: Record) -> list[Built]:
    """Pairs and weak labels of one conversation; none where nothing is known of its answers.

    Raises:
        ValueError: it holds no turns, or one that can't be read.
    """
    value = record.value
    log = read_log(turns_of(value), value.get("system"))
    marks = [
        (place, name)
        for name in ("escalated", "resolved")
        for place in _places(log, name, said=flag(value.get(name), name))
    ]
    found = [
        *(one for run in log.runs for one in _of_run(record, log, run)),
        *_hand_overs(record, log),
        *(one for place, name in marks for one in _end(record, log, place, name)),
        *(one for run in log.runs for one in _answer(record, run)),
    ]
    return found


def _of_run(record: Record, log: Log, run: Run) -> Iterator[Built]:
    """What is known of the run's parts by themselves."""
    for part in run.parts:
        before, turn = run.before(part), part.turn
        if len(part.versions) > 1:
            yield from _regenerated(record, log, run, part)
        if turn.draft is not None and turn.draft.strip():
            run.used = True
            sent, draft = join((before, turn.text)), join((before, turn.draft))
            if _same(turn.draft, turn.text):
                yield _label(record, "accepted", run, sent, True, part)
            else:
                yield _pair(record, "edit", run, (sent, draft), part, rejected_model=turn.model)
        elif turn.rating is not None:
            run.used = True
            yield _label(record, "thumb", run, join((before, turn.text)), turn.rating, part)


def _regenerated(record: Record, log: Log, run: Run, part: Part) -> Iterator[Built]:
    """The last version over each earlier one."""
    before, last = run.before(part), log.turns[part.versions[-1]]
    seen = {_plain(last.text)}
    run.used = True
    for place in part.versions[:-1]:
        earlier = log.turns[place]
        if _plain(earlier.text) not in seen:
            seen.add(_plain(earlier.text))
            texts = (join((before, last.text)), join((before, earlier.text)))
            models = {"chosen_model": last.model, "rejected_model": earlier.model}
            yield _pair(record, "regenerate", run, texts, Part(place, last, ()), **models)


def _hand_overs(record: Record, log: Log) -> Iterator[Built]:
    """The person's answer over the bot's last one, where they answer the same."""
    for event in (place for place, name in log.events if name == "hand-over"):
        bots = [(run, part) for run, part in _parts(log, "bot") if part.place <= event]
        people = [(run, part) for run, part in _parts(log, "person") if part.place >= event]
        if not bots or not people or bots[-1][0].used:
            continue
        (run, bot), (answered, person) = bots[-1], people[0]
        text = join(part.turn.text for part in answered.parts if part.place >= event and part.turn.who == "person")
        said = [turn.text for turn in log.turns[bot.place : person.place] if turn.who == "user"]
        run.used = True
        wrong = join(part.turn.text for part in run.parts if part.turn.who == "bot" and part.place <= event)
        if all(asks_for_a_person(one) for one in said) and _words(text) >= MIN_WORDS and not _same(text, wrong):
            answered.used = True
            yield _pair(record, "hand-over", run, (text, wrong), person, rejected_model=bot.turn.model)
        else:
            yield _label(record, "handed-over", run, wrong, False, bot)


def asks_for_a_person(text: str) -> bool:
    """Whether a customer only asks for somebody to talk to, and says nothing more that an answer could rest on.

    At most twelve words, no digit, and a word for a person in English, German, French or Spanish. What it misses costs
    a pair its strength, not its truth.
    """
    return _words(text) <= 12 and not re.search(r"\d", text) and _ASKS.search(text) is not None


def _places(log: Log, name: Event, *, said: bool) -> list[int]:
    """Where it was escalated or resolved; where only the record says so: at the hand-over, or at the end."""
    found = [place for place, event in log.events if event == name]
    if not found and said:
        overs = [place for place, event in log.events if event == "hand-over"] if name == "escalated" else []
        found = overs[:1] or [len(log.turns)]
    return found


def _end(record: Record, log: Log, place: int, name: str) -> Iterator[Built]:
    """The bot's last answer before an escalation was not good enough; the last one before a resolution was."""
    good = name == "resolved"
    for run in reversed(log.runs):
        parts = [part for part in run.parts if part.place <= place and (good or part.turn.who == "bot")]
        text = join(part.turn.text for part in parts)
        if not parts or (good and _words(text) < MIN_WORDS):
            continue
        if not run.used and not (good and run.looked_up):
            run.used = True
            yield _label(record, name, run, text, good, parts[-1])
        return


def _answer(record: Record, run: Run) -> Iterator[Built]:
    """A person's answer, where it rests on nothing but what was said."""
    if not run.used and run.who == {"person"} and not run.looked_up and _words(run.text) >= MIN_WORDS:
        run.used = True
        yield _label(record, "answer", run, run.text, True, run.parts[0])


def _parts(log: Log, who: str) -> list[tuple[Run, Part]]:
    return [(run, part) for run in log.runs for part in run.parts if part.turn.who == who]


def _pair(record: Record, rule: str, run: Run, texts: tuple[str, str], part: Part, **models: str | None) -> Built:
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in texts)
    fields = _fields(record, rule, part)
    fields.update({name: model for name, model in models.items() if model is not None})
    return Built(run.prompt, chosen, rejected, **fields)


def _label(record: Record, rule: str, run: Run, text: str, good: bool, part: Part) -> Built:
    answer = [{"role": "assistant", "content": text}]
    fields = _fields(record, rule, part)
    if part.turn.model is not None:
        fields["chosen_model" if good else "rejected_model"] = part.turn.model
    chosen, rejected = (answer, []) if good else ([], answer)
    return Built(run.prompt, chosen, rejected, kind="label", label=good, **fields)


def _fields(record: Record, rule: str, part: Part) -> dict[str, Any]:
    """The record's own fields, but time and person are the turn's where it says them."""
    own = {"timestamp": part.turn.timestamp, "annotator": part.turn.annotator}
    return {
        **common(record.value),
        **{name: value for name, value in own.items() if value is not None},
        "id": part_id(record, f"{rule}-{part.place + 1}"),
        "truth": None,  # a talk's several answers are not true to one thing
        "builder": f"conversations/{rule}",
        "weight": WEIGHTS[rule],
    }


def _same(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _words(text: str) -> int:
    return len(text.split())
