"""``nightshift data``: where a preference is from, what was trained on it, and forgetting a customer's records."""

import argparse
import getpass
import json
from collections.abc import Callable
from typing import Any


def add_data_commands(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The options of ``data show`` and ``data forget``."""
    data = command("data", "where a preference is from, what was trained on it; forget a customer's records")
    which = data.add_subparsers(dest="data_command", required=True)
    show = which.add_parser("show", help="a row's source, and the versions that were trained on it")
    show.add_argument("id", help="the row's id, as in quarantine.jsonl and in the pairs")
    forget = which.add_parser("forget", help="leave a tenant's or a record's rows out from the next night on")
    what = forget.add_mutually_exclusive_group(required=True)
    what.add_argument("--tenant", help="all rows of this tenant")
    what.add_argument("--id", help="the rows of this record")
    forget.add_argument("--why", required=True, help="for the record")
    for one in (show, forget):
        one.add_argument("--json", action="store_true", help="one JSON object")


def _data(options: argparse.Namespace) -> int:
    from flows import lineage

    if options.data_command == "show":
        found = lineage.show(options.id)
        print(json.dumps(found, ensure_ascii=False) if options.json else shown(found))
        return 0
    found = lineage.forget(tenant=options.tenant, id_=options.id, why=options.why, by=getpass.getuser())
    print(json.dumps(found, ensure_ascii=False) if options.json else forgotten(found))
    return 0


def shown(found: dict[str, Any]) -> str:
    """What `nightshift data show` prints."""
    lines = []
    for row in found["rows"]:
        lines.append(f"{row['id']}   {row['kind']} of {row['tenant']}, built by {row['builder'] or 'nothing'}")
        lines.append(f"  from      {row['source']}, line {row['line']}  ({row['version']})")
        lines += [f"  {name:9} {row[key]}" for name, key in _EXTRAS if row[key] is not None]
        lines += [f"  {name:9} {_short(row[f'{name}_text'])}" for name in ("prompt", "chosen", "rejected")]
    return "\n".join([*lines, *_versions(found["versions"])])


_EXTRAS = (("annotator", "annotator"), ("cites", "citation"), ("made", "timestamp"), ("unreadable", "error"))


def forgotten(found: dict[str, Any]) -> str:
    """What `nightshift data forget` prints."""
    asked = found["asked"]
    rows = found["rows"]
    said = (
        f"{asked['what']} {asked['value']!r}: {rows} row(s) leave the snapshot of the next night, and do not come back"
    )
    if not rows:
        said += "\nnothing that is kept holds such rows now; the request stands for what may come"
    return "\n".join([said, *_versions(found["versions"]), *([_MODELS] if found["versions"] else [])])


_MODELS = (
    "a model that was trained on them still is: train without them and promote that, or roll back; "
    "snapshots of versions are cleaned away by their age (nightshift clean)"
)


def _versions(versions: list[dict[str, Any]]) -> list[str]:
    if not versions:
        return ["  no version was trained on it"]
    lines = []
    for one in versions:
        alias = f" ({', '.join(one['aliases'])})" if one["aliases"] else ""
        for key in ("trained on", "may have been trained on"):
            if one.get(key):
                lines.append(f"  {one['version']}{alias}: {key} {', '.join(one[key][:5])}{_more(one[key])}")
        for id_, reasons in one["in quarantine"].items():
            lines.append(f"  {one['version']}{alias}: {id_} was in quarantine: {', '.join(reasons)}")
    return lines


def _more(ids: list[str]) -> str:
    return f" and {len(ids) - 5} more" if len(ids) > 5 else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"


DATA: dict[str, Callable[[argparse.Namespace], int]] = {"data": _data}
