"""Diagnostics as people and machines read them: plain text, JSON, SARIF 2.1.0, and GitHub's workflow commands.

Every format is total: whatever text a diagnostic carries, JSON stays JSON and one finding stays one command. Findings
keep the order in which they are given.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, assert_never
from urllib.parse import quote

from sovbroker.errors import Diagnostic, InvalidArgument

__all__ = ["Format", "page_of", "render"]

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "sovbroker/v1"
LINK: Final = re.compile(r"(?<!\\)((?:\\\\)*)\]\(")
"""The end of a link's text, with the backslashes before it: an odd number of them escapes it already."""

NO_TITLES: Final[Mapping[str, str]] = MappingProxyType({})


class Format(StrEnum):
    """How diagnostics are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


def page_of(code: str) -> str:
    """Return the documentation page of a code, relative to the project."""
    return f"docs/diagnostics/{code}.md"


def render(
    diagnostics: Sequence[Diagnostic],
    form: str,
    *,
    tool_version: str,
    titles: Mapping[str, str] = NO_TITLES,
    documentation: str | None = None,
    root: Path | None = None,
) -> str:
    """Return diagnostics in a format (a `Format`, or its name), without a line break at the end.

    `text` is what compilers print, "" for no finding. `json` is a list with one object per finding: `code`, `severity`,
    `message`, `file`, `line`, `column`, `width`, `text` and `help`. `sarif` is a log with one run. `github` is one
    workflow command per line.

    `titles` says what each code is about, for SARIF and GitHub. `documentation` is the absolute address under which the
    documentation is published; SARIF's `helpUri` and `informationUri` have to be absolute, so without it they are left
    out, and rules name their page in the text of their help. Files under the folder `root` are named relative to it
    in SARIF and GitHub's commands, because both look for files in a repository.

    Raises InvalidArgument for an unknown format.
    """
    try:
        known = Format(form)
    except ValueError as error:
        raise InvalidArgument(f"there is no format `{form}`; use one of {', '.join(Format)}") from error
    match known:
        case Format.TEXT:
            return "\n\n".join(_clean(str(found)) for found in diagnostics)
        case Format.JSON:
            return json.dumps([_fields(found) for found in diagnostics], indent=2)
        case Format.SARIF:
            log = _log(diagnostics, tool_version, titles, documentation, root)
            return json.dumps(log, indent=2)
        case Format.GITHUB:
            return "\n".join(_command(found, titles, root) for found in diagnostics)
        case _:
            assert_never(known)


def _clean(text: str) -> str:
    """Return a text that can be encoded: a lone surrogate, from a file name that is not UTF-8, is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _fields(found: Diagnostic) -> dict[str, object]:
    """Return a finding as JSON types."""
    return {name: _clean(value) if isinstance(value, str) else value for name, value in asdict(found).items()}


def _advice(found: Diagnostic) -> str:
    """Return what is wrong and how to mend it, each on its own line."""
    return _clean(f"{found.message}\nhelp: {found.help}" if found.help else found.message)


def _relative(file: str, root: Path | None) -> str:
    """Return the name of a file, relative to `root` where it is under it."""
    if root is None or not file.startswith("/"):
        return file
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else file


# --- SARIF


def _log(
    diagnostics: Sequence[Diagnostic],
    tool_version: str,
    titles: Mapping[str, str],
    documentation: str | None,
    root: Path | None,
) -> dict[str, object]:
    """Return a SARIF log: one run, with the rules that were broken, in the order of their codes."""
    levels = {found.code: found.severity for found in diagnostics}
    codes = sorted(levels)
    address = None if documentation is None else documentation.rstrip("/")
    driver: dict[str, object] = {"name": "sovbroker", "version": _clean(tool_version)}
    if address is not None:
        driver["informationUri"] = address
    driver["rules"] = [_rule(code, levels[code], titles.get(code, code), address) for code in codes]
    seen = Counter[str]()
    results: list[dict[str, object]] = []
    for found in diagnostics:
        uri = _uri(_relative(found.file, root))
        key = "\0".join((found.code, uri, _clean(found.message), _clean(found.text.strip())))
        fingerprint = _digest(f"{key}\0{seen[key]}")
        seen[key] += 1
        results.append(_result(found, uri, codes.index(found.code), fingerprint))
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str, level: str, title: str, address: str | None) -> dict[str, object]:
    """Return what SARIF calls a reporting descriptor."""
    rule: dict[str, object] = {
        "id": _clean(code),
        "shortDescription": {"text": _message(_clean(title))},
        "help": {"text": _message(_clean(f"See {page_of(code)}"))},
        "defaultConfiguration": {"level": level},
    }
    if address is not None:
        rule["helpUri"] = f"{address}/diagnostics/{quote(_clean(code), safe='')}.html"
    return rule


def _result(found: Diagnostic, uri: str, rule: int, fingerprint: str) -> dict[str, object]:
    """Return one result. The end column is the one after the last character, as SARIF counts."""
    region = {"startLine": found.line, "startColumn": found.column, "endColumn": found.column + max(1, found.width)}
    return {
        "ruleId": _clean(found.code),
        "ruleIndex": rule,
        "level": found.severity,
        "message": {"text": _message(_advice(found))},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}],
        "partialFingerprints": {FINGERPRINT: fingerprint},
    }


def _message(text: str) -> str:
    """Return a text as SARIF's message strings spell it.

    Braces would be placeholders, and are doubled. What a policy says must not become a link in a viewer, so the
    bracket that would end a link's text is escaped.
    """
    return LINK.sub(r"\1\\](", text.replace("{", "{{").replace("}", "}}"))


def _uri(file: str) -> str:
    """Return the URI of a file: relative for a relative name. Everything but letters, digits and `-._~/` is encoded.

    A name that is not UTF-8 keeps its bytes.
    """
    try:
        name = os.fsencode(file)
    except UnicodeEncodeError:
        name = _clean(file).encode()
    return f"file://{quote(name)}" if name.startswith(b"/") else quote(name)


def _digest(text: str) -> str:
    """Return what tells a finding from others, wherever its line moves to."""
    return hashlib.sha256(text.encode()).hexdigest()


# --- GitHub


def _command(found: Diagnostic, titles: Mapping[str, str], root: Path | None) -> str:
    """Return one workflow command. GitHub splits commands at line breaks, and properties at `,` and `:`."""
    properties = {
        "file": _relative(found.file, root),
        "line": str(found.line),
        "col": str(found.column),
        "endColumn": str(found.column + max(1, found.width)),
        "title": f"{found.code}: {titles[found.code]}" if found.code in titles else found.code,
    }
    listed = ",".join(f"{name}={_property(_clean(value))}" for name, value in properties.items())
    return f"::{found.severity} {listed}::{_data(_advice(found))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
