"""The commands on targets: list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sovbroker.cli.session import Session, command

if TYPE_CHECKING:
    from sovbroker.catalogue.attestation import Vouched
    from sovbroker.catalogue.facts import Fact
    from sovbroker.router import Place

__all__ = ["app", "countries_text"]

app = typer.Typer()

COLUMNS = ("target", "adapter", "container", "endpoint", "located", "controlled")


@command(app, "list")
def list_targets(session: Session) -> None:
    """List the targets, where each one is and whose law reaches it."""
    # The targets can be told without the keyring, the policy and the state that a broker needs.
    from sovbroker.opening import catalogue_of, place_of  # noqa: PLC0415  # `--help` must not wait for it

    config = session.configuration()
    catalogue = catalogue_of(config)
    places = [place_of(target, catalogue) for target in config.targets]
    if session.options.json:
        session.screen.data([facts_of(place) for place in places])
        return
    session.screen.table(COLUMNS, [row_of(place) for place in places])
    for place in places:
        for what, evidence in place.vouched:
            session.screen.say(f"{place.target.id}: {what} attested by {evidence}")


def countries_text(fact: Fact[frozenset[str]]) -> str:
    """Tell a fact about countries."""
    return "unknown" if fact.value is None else ", ".join(sorted(fact.value)) or "none"


def row_of(place: Place) -> tuple[str, ...]:
    """Return the cells of one target."""
    emulated = " (emulated)" if place.target.emulated else ""
    return (
        f"{place.target.id}{emulated}",
        place.adapter,
        place.binding.container,
        place.binding.endpoint or "-",
        countries_text(place.target.facts.located),
        countries_text(place.target.facts.controlled),
    )


def facts_of(place: Place) -> dict[str, object]:
    """Return one target as JSON types. What is unknown is null."""
    located, controlled = place.target.facts.located.value, place.target.facts.controlled.value
    return {
        "target": place.target.id,
        "provider": place.target.provider,
        "offer": place.target.offer,
        "region": place.target.region,
        "emulated": place.target.emulated,
        "adapter": place.adapter,
        "container": place.binding.container,
        "endpoint": place.binding.endpoint,
        "located": None if located is None else sorted(located),
        "controlled": None if controlled is None else sorted(controlled),
        "attested": [vouched_facts(what, evidence) for what, evidence in place.vouched],
    }


def vouched_facts(what: str, evidence: Vouched) -> dict[str, object]:
    """Return what the operator attests as JSON types; nobody accepts it (null) where it loosens nothing."""
    attestation, accepted = evidence.attestation, evidence.accepted
    return {
        "what": what,
        "document": attestation.document,
        "sha256": attestation.sha256,
        "by": attestation.by,
        "issued": attestation.issued.isoformat(),
        "expires": None if evidence.expires is None else evidence.expires.isoformat(),
        "accepted": None if accepted is None else {"owner": accepted.owner, "reason": accepted.reason},
    }
