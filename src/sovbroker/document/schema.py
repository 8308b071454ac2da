r"""A JSON Schema (draft 2020-12) made from the shapes that decode, so that an editor refuses what the reader refuses.

An editor does not see what the reader sees: it types a plain scalar before it looks at the schema, as YAML 1.2's core
schema says, so that `1` is a number and `true` a boolean. A schema made here holds for both readings:

- Where every scalar is a text (and only an empty plain one is null), it accepts exactly what the shapes accept, but for
  what a shape cannot say: the function of a `Parsed`, and texts that occur twice in a list that also takes maps or
  lists.
- Where scalars are typed, it also takes numbers and booleans wherever the text that they were written as would do. It
  judges them by their value, for their spelling is lost: `010`, `1e1` and `0x0A` are the number 10, which the reader
  refuses. And it refuses the plain words that YAML takes for nothing, `null` and `~`, which the reader takes for texts.
  Written as JSON writes them, or quoted, they mean the same to both.

Lengths count characters. Patterns are in the part of the language of regular expressions that Python, ECMA 262 (with
its flag `u`) and RE2 read alike. They are anchored; `$` is the very end of a text there, but not in Python's `re`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from sovbroker.document.containers import Anything, ByKind, Field, ListOf, MapOf, Record, Single
from sovbroker.document.pattern import SOMETHING, anchored, between, ecma
from sovbroker.document.scalars import Choice, Day, Flag, Parsed, Text, Whole
from sovbroker.document.shape import Shape

__all__ = ["DRAFT", "Schema", "json_schema"]

Schema = dict[str, object]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

PLAIN: Final = re.compile("[A-Za-z0-9]+")
JSON_SCALAR: Final = re.compile(r"true|false|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
HOLE: Final = "parameter"

MONTHS: Final = (
    r"(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])"
)
YEAR: Final = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})"
FOURTHS: Final = r"(?:0[48]|[2468][048]|[13579][26])"
DAY: Final = rf"{YEAR}-(?:{MONTHS})|(?:[0-9]{{2}}{FOURTHS}|{FOURTHS}00)-02-29"


def json_schema(
    shape: Shape[object],
    *,
    title: str,
    identity: str = "",
    description: str = "",
    named: Mapping[str, Shape[object]] | None = None,
    hole: str = "",
) -> Schema:
    """Return the JSON Schema of what `shape` decodes.

    A record that is used twice has one definition, called after what builds it; `named` gives other names, and names
    other shapes that are worth a definition. `identity` is the schema's `$id`.

    With `hole`, a regular expression, the schema is that of a template: a text in which it is found stands for any
    value, and as a key for any key, so that no key is needed and items may be alike.

    Raises TypeError for a shape that it does not know, and ValueError for a pattern that other engines would read in
    another way.
    """
    maker = _Maker(dict(named or {}), hole=hole)
    maker.count(shape)
    body = maker.body(shape)
    head: Schema = {"$schema": DRAFT, "$id": identity, "title": title, "description": description}
    definitions: Schema = {"$defs": dict(sorted(maker.definitions.items()))} if maker.definitions else {}
    return {key: value for key, value in head.items() if value} | body | definitions


@dataclass(slots=True)
class _Maker:
    named: dict[str, Shape[object]]
    hole: str = ""
    definitions: dict[str, Schema] = field(default_factory=dict[str, Schema])
    seen: list[Shape[object]] = field(default_factory=list[Shape[object]])

    def count(self, shape: Shape[object]) -> None:
        """Give a name to every record that is used twice."""
        if isinstance(shape, Record):
            if shape in self.seen:
                if self._name(shape) is None:
                    self.named[self._unused(_words(shape.build.__name__))] = shape
                return
            self.seen.append(shape)
        for inner in _inner(shape):
            self.count(inner)

    def _unused(self, name: str) -> str:
        number, unused = 2, name
        while unused in self.named:
            unused, number = f"{name}-{number}", number + 1
        return unused

    def _name(self, shape: Shape[object]) -> str | None:
        return next((name for name, known in self.named.items() if known == shape), None)

    def value(self, shape: Shape[object]) -> Schema:
        """Return the schema of a shape where it stands, by reference where it has a name."""
        name = self._name(shape)
        if name is None:
            found = self.body(shape)
        else:
            if name not in self.definitions:
                self.definitions[name] = self.body(shape)
            found = Schema({"$ref": f"#/$defs/{name}"})
        if not self.hole or isinstance(shape, Anything):
            return found
        self.definitions[HOLE] = {"type": "string", "pattern": ecma(self.hole)}
        return {"anyOf": [{"$ref": f"#/$defs/{HOLE}"}, found]}

    def body(self, shape: Shape[object]) -> Schema:
        """Return the schema of a shape."""
        match shape:
            case Record():
                return self._record(shape.fields)
            case MapOf():
                return self._map(cast("MapOf[object]", shape))
            case ListOf():
                return self._list(cast("ListOf[object]", shape))
            case Single() | ByKind():
                found = [self.value(kind) for kind in _inner(cast("Shape[object]", shape))]
                return {"anyOf": found} if len(found) > 1 else found[0]
            case Anything():
                return {}
            case _:
                return scalar_schema(shape)

    def _record(self, fields: Mapping[str, Field]) -> Schema:
        properties = {key: self.value(declared.shape) for key, declared in fields.items()}
        needed = [key for key, declared in fields.items() if declared.needed]
        found: Schema = {"type": "object", "properties": properties}
        if self.hole:
            # A key that is a hole may turn out to be one that is needed.
            found["patternProperties"] = {ecma(self.hole): Schema()}
        elif needed:
            found["required"] = needed
        return found | {"additionalProperties": False}

    def _map(self, shape: MapOf[object]) -> Schema:
        found: Schema = {"type": "object", "propertyNames": self.value(shape.key)}
        found["additionalProperties"] = self.value(shape.value)
        return found | ({"minProperties": shape.least} if shape.least else {})

    def _list(self, shape: ListOf[object]) -> Schema:
        found: Schema = {"type": "array", "items": self.value(shape.item)}
        if shape.least:
            found["minItems"] = shape.least
        if shape.unique and not self.hole and isinstance(shape.item, Text | Whole | Choice | Flag | Day | Parsed):
            found["uniqueItems"] = True
        return found


def _inner(shape: Shape[object]) -> Iterable[Shape[object]]:
    """Yield the shapes that a shape is made of."""
    match shape:
        case Record():
            yield from (declared.shape for declared in shape.fields.values())
        case MapOf():
            yield from (shape.key, cast("MapOf[object]", shape).value)
        case ListOf():
            yield cast("ListOf[object]", shape).item
        case Single():
            yield cast("Single[object]", shape).item
        case ByKind():
            yield from (kind for kind in (shape.text, shape.items, shape.entries) if kind is not None)
        case _:
            pass


def _words(name: str) -> str:
    """Return the name of a class in words: `CopiesDoc` is `copies`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.removesuffix("Doc")).lower().strip("_")


# --- texts


def scalar_schema(shape: object) -> Schema:
    """Return the schema of what is written as a text."""
    match shape:
        case Text():
            return text_schema(shape)
        case Parsed():
            return text_schema(shape.text)
        case Whole():
            found: Schema = {"type": ["integer", "string"], "minimum": shape.least, "maximum": shape.most}
            return found | {"pattern": anchored(between(shape.least, shape.most))}
        case Choice():
            return {"enum": spellings(cast("Choice[object]", shape).words)}
        case Flag():
            return {"enum": [True, False, "true", "false"]}
        case Day():
            found = {"type": "string", "format": "date", "pattern": anchored(DAY)}
            return found | {"description": "a day such as 2026-12-31"}
        case _:
            raise TypeError(f"there is no JSON Schema for the shape {type(shape).__name__}; say here what it takes")


def text_schema(shape: Text) -> Schema:
    """Return the schema of a text, which also takes the numbers and booleans that its pattern would let pass."""
    words: Schema = {} if shape.wanted == Text().wanted else {"description": shape.wanted}
    if PLAIN.fullmatch(shape.pattern) is not None and len(shape.pattern) <= shape.most:
        return {"enum": spellings([shape.pattern])} | words

    def takes(*texts: str) -> bool:
        return not shape.pattern or any(re.fullmatch(shape.pattern, text) for text in texts)

    types = ["string"]
    if takes("3.2", "0.5"):
        types.append("number")
    elif takes("0", "7", "10", "2026"):
        types.append("integer")
    found: Schema = {"minimum": 0} if len(types) > 1 and not takes("-7", "-0.5") else {}
    types += ["boolean"] if takes("true", "false") else []
    found |= {"minLength": 1, "maxLength": shape.most}
    if not shape.pattern:
        found["pattern"] = SOMETHING
    else:
        found |= {"pattern": anchored(shape.pattern), "allOf": [{"pattern": SOMETHING}]}
    return {"type": types[0] if len(types) == 1 else types} | found | words


def spellings(words: Iterable[str]) -> list[object]:
    """Return words, each with what an editor takes it for that looks like a number or a boolean."""
    found: list[object] = []
    for word in words:
        found += [word, json.loads(word)] if JSON_SCALAR.fullmatch(word) else [word]
    return found
