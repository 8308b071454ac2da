"""How a counterexample is written down as a cases file, which `sovbroker policy test` runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final, cast

__all__ = ["case_text"]

PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./+@-]*|SOV-[1-8]")

_Map = Mapping[str, object]


def case_text(told: _Map, at: date) -> str:
    """Return a cases file of the day `at`: its targets, key services and cases, one line each."""
    lines = ["sovbroker-tests: 1", f"at: {at.isoformat()}", "catalogue: false"]
    for section in ("targets", "keys"):
        if section in told:
            lines.append(f"{section}:")
            entries = cast("_Map", told[section]).items()
            lines += [f"  {_scalar(name)}: {_flow(facts)}" for name, facts in entries]
    lines.append("cases:")
    for case in cast("Sequence[_Map]", told["cases"]):
        lines += _entries(case)
    return "\n".join(lines) + "\n"


def _entries(case: _Map) -> Iterator[str]:
    for number, (name, value) in enumerate(case.items()):
        yield f"  {'- ' if number == 0 else '  '}{name}: {_flow(value)}"


def _flow(value: object) -> str:
    """Spell a value on one line."""
    match value:
        case str():
            return _scalar(value)
        case dict():
            entries = cast("_Map", value).items()
            return f"{{{', '.join(f'{_scalar(name)}: {_flow(inner)}' for name, inner in entries)}}}"
        case list():
            return f"[{', '.join(map(_flow, cast('Sequence[object]', value)))}]"
        case _:
            return str(value)


def _scalar(text: str) -> str:
    """Quote a text where YAML, or somebody who reads it, could take it for something else."""
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
