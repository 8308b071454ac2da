"""The JSON Schema of a policy's file, made from the shapes that decode it.

An editor that is given it completes keys, and underlines what the loader would refuse. What it cannot know is the
loader's alone: whether a name is defined, what two places say together, and what other files, targets and dates say.

A file with `parameters` is a template: a text with a `$name` may become anything, so less can be said about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from sovbroker import detect
from sovbroker.catalogue.countries import COUNTRIES, GROUPS
from sovbroker.document import Day, Shape
from sovbroker.document.pattern import anchored, between
from sovbroker.document.schema import json_schema
from sovbroker.policy import documents, language, zonedocs
from sovbroker.policy.resolve import CRITERIA

__all__ = ["IDENTITY", "schema"]

Json = dict[str, Any]

IDENTITY: Final = "urn:sovbroker:policy:1"
"""The name of the schema. The number is that of the language."""

HOLE: Final = r"\$[a-z]"
"""What is found in a text that a parameter stands in."""

CHARACTER: Final = r"[^/*\[\]{}\\!]"
SEGMENT: Final = rf"(?:\*\*|\*|\*?(?:{CHARACTER}\*?)+)"
GLOB: Final = rf"{SEGMENT}(?:/{SEGMENT})*"
PERIOD: Final = rf"[1-9][0-9]{{0,4}}d|(?:{between(1, 52_178)})w|(?:{between(1, 1000)})y"
"""Periods, up to a thousand years."""

SHAPES: Final[Mapping[str, Shape[object]]] = {
    "always": language.ALWAYS,
    "category": language.CATEGORY,
    "copies": language.ELEMENT.fields["copies"].shape,
    "day": Day(),
    "element": language.ELEMENT,
    "extends": language.EXTEND,
    "limits": language.LIMITS,
    "mode": language.MODE,
    "name": language.IDENTIFIER,
    "pack": language.PACK,
    "parameter-name": language.PARAMETER,
    "period": language.PERIOD_SHAPE,
    "reference": language.REFERENCE,
    "retain": language.ELEMENT.fields["retain"].shape,
    "rule": language.RULE,
    "seal": language.SEAL,
    "store": language.STORE,
    "text": language.PROSE,
    "version": language.VERSION,
    "waiver": language.WAIVER,
    "zone": language.ZONE,
}

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "policy": {
        "sovbroker": "The version of the policy language.",
        "name": "What the policy is called in decisions and records.",
        "pack": "What this file is, for those who extend it.",
        "parameters": "What this file leaves to those who extend it: `$name` stands for a parameter.",
        "extends": "Packs by name and files by path. They only ever add requirements.",
        "levels": "The chain of levels, from low to high.",
        "default": "The label of what no rule matches; the highest level where it is left out.",
        "limits": "What a waiver may be, what a scan of content may take, and how old a key may be.",
        "categories": "Legal regimes and compartments, with what each implies.",
        "aliases": "Other spellings, each with the label that it means.",
        "zones": "Sets of places, each given by predicates that must all hold.",
        "require": "What a level or category demands. An object meets every entry that its label dominates.",
        "classify": "Rules that label objects. The label is the join of all that match.",
        "waivers": "Exceptions with an end, each approved by several people.",
        "always": "What must hold at every possible place, whatever the rest of the policy says.",
        "prefer": "The order of places that comply: `zone`, `cost`, `latency` and names of zones.",
    },
    "pack": {
        "title": "What the pack is about.",
        "status": "Whether it is law, or only proposed.",
        "as_of": "When its basis was last looked at.",
        "basis": "The legal texts that it is made from.",
        "sources": "Where those texts can be read.",
        "excludes": "What it does not cover.",
    },
    "limits": {
        "waiver_days": "How many days ahead a waiver may end, at most.",
        "approvals": "How many people must approve a waiver, at least.",
        "scan_mib": "How many MiB of an object a scan reads, at most.",
        "scan_seconds": "How many seconds a scan takes, at most.",
        "key_seconds": "How many seconds ago a key service gave the key that is written with, at most.",
    },
    "category": {
        "implies": "The categories that carrying this one means carrying too.",
        "minimum": "The level that carrying this one means having, at least.",
    },
    "zone": {
        "located": "Every country where the bytes are is one of these.",
        "controlled": "Every country whose law reaches the operator is one of these.",
        "technology": "Every country whose technology it depends on is one of these.",
        "alone": "Every country whose law alone opens it is one of these; there may be none.",
        "qualified": "Every one of these qualifications is held today.",
        "seal": "The least levels of the EU Cloud Sovereignty Framework, by one version of it.",
        "provider": "The provider is one of these.",
        "target": "The target is one of these.",
    },
    "element": {
        "store": "The zones in which a copy may be, each with what must be done to it there.",
        "compute": "The zones in which plaintext may be worked on.",
        "where": "Predicates that must hold of every place, whatever its zone.",
        "deny": "Zones, providers and targets that are refused.",
        "copies": "How many copies, and in what their places must differ.",
        "retain": "How long an object is kept at least, and at most.",
        "pad": "Whether the sizes of sealed copies are hidden, by zeros behind the content.",
        "waivable": "Whether a waiver may add zones to `store`.",
        "basis": "The legal basis, quoted in every explanation.",
    },
    "copies": {
        "count": "How many, at least.",
        "distinct": "In what every two of their places must differ.",
    },
    "retain": {
        "min": "For at least this long.",
        "max": "For at most this long.",
    },
    "seal": {
        "framework": "The version of the framework that was assessed.",
        "assessor": "Who assessed it: one of these; anybody where it is left out.",
        **{objective: f"The least level of {objective}, from 0 to 4." for objective in documents.OBJECTIVES},
    },
    "mode": {
        "encrypt": "`client`: encrypted before it leaves.",
        "names": "`encrypt`: names are hidden too.",
        "keys": "The zones in which the key must be held, all of them.",
    },
    "rule": {
        "id": "What decisions call the rule.",
        "path": "A pattern of keys: `*` and `?` within a segment, `**` for any segments.",
        "meta": "Metadata, compared exactly.",
        "content": "A detector that must find something in the content.",
        "min": "How often it must find it.",
        "label": "The label that an object which matches carries at least.",
    },
    "waiver": {
        "id": "What decisions call the waiver.",
        "path": "A pattern of the keys that it covers.",
        "label": "The highest label that it covers.",
        "store": "The zones that it adds, each with what must be done there.",
        "reason": "Why it is needed.",
        "owner": "Who answers for it.",
        "approved": "Who approved it; one of them is not the owner.",
        "expires": "The first day on which it has no effect.",
    },
    "always": {
        "id": "What findings call the invariant.",
        "label": "It is about every label that dominates this one.",
        "inside": "It is about places that are in all of these zones.",
        "outside": "It is about places that are in none of these zones.",
        "operation": "`store` or `compute`. Left out: both for `refused`, storing for a mode.",
        "demand": "`refused`, or the least that must be done to the object.",
    },
}
"""What an editor says about each key, by the definition that it is in."""


def schema() -> dict[str, object]:
    """Return the JSON Schema, draft 2020-12, of a policy's file: JSON types only, the same for the same detectors."""
    strict = _refined(cast("Json", json_schema(language.DOCUMENT, title="policy", named=SHAPES)))
    named = {f"template-{name}": shape for name, shape in SHAPES.items()}
    loose = cast("Json", json_schema(language.DOCUMENT, title="template", named=named, hole=HOLE))
    policy, template = ({k: v for k, v in made.items() if not k.startswith("$")} for made in (strict, loose))
    # A template's own declarations are read before anything is put in.
    template["properties"]["parameters"] = policy["properties"]["parameters"]
    definitions = strict["$defs"] | loose["$defs"] | {"policy": policy, "template": template}
    return {
        "$schema": strict["$schema"],
        "$id": IDENTITY,
        "title": "A policy of sovbroker",
        "description": "Where each labelled object may live. A file with `parameters` is a template for others.",
        "type": "object",
        "if": {"required": ["parameters"]},
        "then": {"$ref": "#/$defs/template"},
        "else": {"$ref": "#/$defs/policy"},
        "$defs": dict(sorted(definitions.items())),
    }


def _refined(made: Json) -> Json:
    """Return a schema with what the loader refuses beyond the shapes, and with a description of every key."""
    definitions = made["$defs"]
    zone, rule = definitions["zone"]["properties"], definitions["rule"]["properties"]
    definitions["country"] = {"enum": [*sorted(GROUPS), zonedocs.KNOWN, *sorted(COUNTRIES)]}
    for axis in ("located", "controlled", "technology", "alone"):
        zone[axis] = zone[axis] | {"items": {"$ref": "#/$defs/country"}}
    scheme = {"pattern": anchored(zonedocs.SCHEME.pattern)}
    zone["qualified"] = zone["qualified"] | {"items": _both(zone["qualified"]["items"], scheme)}
    definitions["period"] = {"type": "string", "pattern": anchored(PERIOD), "description": "30d, 4w or 10y"}
    glob = {"pattern": anchored(GLOB)}
    for holder in (rule, definitions["waiver"]["properties"]):
        holder["path"] = _both(holder["path"], glob)
    rule["id"] = _both(rule["id"], {"not": {"const": "default"}})
    rule["content"] = {"enum": sorted(detect.known())}
    zones = made["properties"]["zones"]
    zones["propertyNames"] = _both(zones["propertyNames"], {"not": {"enum": list(CRITERIA)}})

    _ask(definitions["rule"], {"dependentRequired": {"min": ["content"]}} | _one_of_keys("path", "meta", "content"))
    _ask(definitions["seal"], _one_of_keys(*documents.OBJECTIVES))
    hidden = {"properties": {"names": {"const": "encrypt"}}, "required": ["names"]}
    sealed = {"properties": {"encrypt": {"const": "client"}}, "required": ["encrypt"]}
    _ask(definitions["mode"], {"if": {"anyOf": [hidden, {"required": ["keys"]}]}, "then": sealed})
    computing = {"properties": {"operation": {"const": "compute"}}, "required": ["operation"]}
    no_mode = {"properties": {"demand": {"not": {"type": "object"}}}}
    _ask(definitions["always"], {"if": computing, "then": no_mode})

    declared = made["properties"]["parameters"]["additionalProperties"]["properties"]
    extended = definitions["extends"]["anyOf"][1]["properties"]
    for key, holder, text in (
        ("about", declared, "What it is about."),
        ("default", declared, "Its value where none is given; without one, it must be given."),
        ("pack", extended, "A pack by name, or a file by path."),
        ("with", extended, "The values of its parameters."),
    ):
        holder[key] = holder[key] | {"description": text}
    for name, words in WORDS.items():
        properties = (made if name == "policy" else definitions[name])["properties"]
        for key, text in words.items():
            properties[key] = properties[key] | {"description": text}
    return made


def _both(found: Json, more: Json) -> Json:
    """Return a schema that asks for two things."""
    return {"allOf": [found, more]}


def _one_of_keys(*keys: str) -> Json:
    """Return a schema that asks for one of the keys at least."""
    return {"anyOf": [{"required": [key]} for key in keys]}


def _ask(found: Json, more: Json) -> None:
    """Ask for more. Raises ValueError where something of the kind is asked already."""
    if found.keys() & more.keys():
        raise ValueError(f"{sorted(found.keys() & more.keys())} would be lost")
    found.update(more)
