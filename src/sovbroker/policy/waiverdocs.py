"""What a waiver must be: short, approved by several people, and on what can be waived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from sovbroker.document import Findings
from sovbroker.labels import Lattice
from sovbroker.policy import codes
from sovbroker.policy.documents import DocumentDoc, LimitsDoc, WaiverDoc
from sovbroker.policy.rulebook import Requirement, Waiver
from sovbroker.policy.ruledocs import unlike
from sovbroker.policy.sources import Part
from sovbroker.policy.words import Words

__all__ = ["build_waivers", "check_firm"]


def build_waivers(
    parts: Sequence[Part], words: Words, limits: LimitsDoc, *, today: date
) -> list[tuple[WaiverDoc, Waiver]]:
    """Return the waivers of all files, each as it is written and as it is meant."""
    findings = words.findings
    waivers: list[tuple[WaiverDoc, Waiver]] = []

    def of(document: DocumentDoc) -> tuple[WaiverDoc, ...]:
        return document.waivers

    for doc in unlike(parts, of, "waiver", name=lambda doc: doc.id, findings=findings):
        path, mask, store = words.glob(doc.path), words.label(doc.label), words.store(doc.store)
        check_limits(doc, limits, findings=findings, today=today)
        if path is not None:
            approved = tuple(sorted(str(name) for name in doc.approved))
            waiver = Waiver(str(doc.id), path, mask, store, str(doc.reason), str(doc.owner), approved, doc.expires)
            waivers.append((doc, waiver))
    return waivers


def check_limits(doc: WaiverDoc, limits: LimitsDoc, *, findings: Findings, today: date) -> None:
    """Refuse a waiver that lasts too long or that too few people approved; warn of one that has lapsed.

    Lapsing is a warning, because a policy that opened yesterday must not refuse everything today.
    """
    people = {name.strip().casefold() for name in doc.approved}
    if len(people) < limits.approvals:
        findings.error(
            codes.WAIVER_APPROVALS,
            doc.id.place,
            f"waiver `{doc.id}` is approved by {len(people)} of the {limits.approvals} people that it needs",
            "have it approved by more people",
        )
    elif not people - {doc.owner.strip().casefold()}:
        findings.error(
            codes.WAIVER_APPROVALS,
            doc.id.place,
            f"waiver `{doc.id}` is approved by its owner only",
            "have it approved by somebody else",
        )
    if (doc.expires - today) > timedelta(days=limits.waiver_days):
        findings.error(
            codes.WAIVER_LONG,
            doc.id.place,
            f"waiver `{doc.id}` lasts until {doc.expires}, more than {limits.waiver_days} days from {today}",
            "bring `expires` forward, or raise `limits.waiver_days`",
        )
    elif doc.expires <= today:
        findings.warning(
            codes.WAIVER_LAPSED,
            doc.id.place,
            f"waiver `{doc.id}` lapsed on {doc.expires} and has no effect",
            "remove it, or have it approved again with a later `expires`",
        )


def check_firm(
    waivers: Iterable[tuple[WaiverDoc, Waiver]],
    requirements: Mapping[str, Sequence[Requirement]],
    *,
    lattice: Lattice,
    findings: Findings,
) -> None:
    """Refuse a waiver whose bound includes an element that cannot be waived: it would promise what it cannot do."""
    for doc, waiver in waivers:
        for element in lattice.elements(waiver.mask):
            if any(not r.waivable and r.store is not None for r in requirements.get(element, ())):
                findings.error(
                    codes.WAIVER_FIRM,
                    doc.label.place,
                    f"waiver `{doc.id}` covers `{element}`, which is not waivable",
                    "lower its `label`; what has `waivable: false` has no exception",
                )
