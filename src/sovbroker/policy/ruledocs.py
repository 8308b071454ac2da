"""From classification rules and invariants as they are written to what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sovbroker import detect
from sovbroker.document import Findings, Word, suggest
from sovbroker.policy import codes
from sovbroker.policy.documents import AlwaysDoc, DocumentDoc, RuleDoc, Work
from sovbroker.policy.rulebook import Content, Invariant, Rule
from sovbroker.policy.sources import Part
from sovbroker.policy.words import Words

__all__ = ["build_invariants", "build_rules", "unlike"]

T = TypeVar("T")


def build_rules(parts: Sequence[Part], words: Words) -> list[Rule]:
    """Return the classification rules of all files."""
    rules: list[Rule] = []
    for doc in unlike(parts, lambda d: d.classify, "rule", name=lambda doc: doc.id, findings=words.findings):
        mask = words.label(doc.label)
        if doc.id == "default":
            words.findings.error(codes.CONFLICT, doc.id.place, "`default` is what decisions call no rule", "rename it")
        path = None if doc.path is None else words.glob(doc.path)
        if doc.path is None and not doc.meta and doc.content is None:
            words.findings.error(
                codes.MATCHES_NOTHING,
                doc.place,
                f"rule `{doc.id}` looks at nothing",
                "give it a `path`, `meta` or `content`",
            )
        meta = tuple(sorted((str(name), str(value)) for name, value in doc.meta.items()))
        rules.append(Rule(str(doc.id), mask, path, meta, _content(doc, words.findings)))
    return rules


def _content(doc: RuleDoc, findings: Findings) -> Content | None:
    if doc.content is None:
        if doc.min is not None:
            message = f"rule `{doc.id}` counts with `min`, and looks for nothing"
            findings.error(codes.WRONG_VALUE, doc.place, message, "say with `content` what is counted")
        return None
    known = detect.known()
    if doc.content not in known:
        message = f"there is no detector `{doc.content}`"
        findings.error(codes.NO_DETECTOR, doc.content.place, message, suggest(doc.content, known))
    return Content(str(doc.content), doc.min or 1)


def build_invariants(parts: Sequence[Part], words: Words) -> list[Invariant]:
    """Return the invariants of all files."""
    invariants: list[Invariant] = []

    def of(document: DocumentDoc) -> tuple[AlwaysDoc, ...]:
        return document.always

    for doc in unlike(parts, of, "invariant", name=lambda doc: doc.id, findings=words.findings):
        demand = None if doc.demand is None else words.mode(doc.demand)
        if doc.operation is None:
            operations = (Work.STORE, Work.COMPUTE) if demand is None else (Work.STORE,)
        else:
            operations = (doc.operation,)
        if demand is not None and Work.COMPUTE in operations:
            words.findings.error(
                codes.NEEDS_SEAL,
                doc.place,
                f"invariant `{doc.id}` demands a mode for computing, which works on plaintext",
                "demand `refused`, or leave out `operation`",
            )
        inside, outside = words.zone_names(doc.inside), words.zone_names(doc.outside)
        invariants.append(
            Invariant(
                str(doc.id),
                words.label(doc.label),
                tuple(sorted(inside)),
                tuple(sorted(outside)),
                demand,
                operations,
            )
        )
    return invariants


def unlike(
    parts: Sequence[Part],
    of: Callable[[DocumentDoc], Iterable[T]],
    noun: str,
    *,
    name: Callable[[T], Word],
    findings: Findings,
) -> list[T]:
    """Return the rules or waivers of all files, and refuse an id that occurs twice."""
    found: dict[str, T] = {}
    for part in parts:
        for doc in of(part.document):
            word = name(doc)
            if word in found:
                findings.error(codes.DUPLICATE, word.place, f"{noun} `{word}` is here twice", "rename one of them")
            found.setdefault(str(word), doc)
    return list(found.values())
