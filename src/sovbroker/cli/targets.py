"""The commands on targets: list, probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from sovbroker.cli.failures import Exit
from sovbroker.cli.matrix import print_matrix
from sovbroker.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from sovbroker.catalogue.attestation import Vouched
    from sovbroker.catalogue.facts import Fact
    from sovbroker.policy import Policy
    from sovbroker.policy.mode import Mode
    from sovbroker.router import Place

__all__ = ["app", "countries_text"]

app = typer.Typer()

COLUMNS: Final = ("target", "adapter", "container", "located", "controlled", "qualified", "emulated by")
REFUSED: Final = "refused"
Modes = dict[str, "Mapping[str, Mode]"]
"""In which mode each target may hold data of each level, by the level's name."""


@command(app, "list")
def list_targets(session: Session) -> None:
    """List the targets: where each one is, whose law reaches it, and what may go there."""
    # The targets can be told without the keyring and the state that a broker needs.
    from sovbroker.errors import PolicyError  # noqa: PLC0415  # `--help` must not wait for it
    from sovbroker.opening import catalogue_of, place_of, policy_of, services_of, utc_now  # noqa: PLC0415  # as above

    config, now = session.configuration(), utc_now()
    catalogue = catalogue_of(config)
    places = [place_of(target, catalogue) for target in config.targets]
    modes: Modes | None = None
    try:
        by_id = {place.target.id: place for place in places}
        modes = modes_of(policy_of(config, by_id, services_of(config), clock=lambda: now, overlay=catalogue.overlay))
    except PolicyError as error:
        session.screen.warn(f"the policy does not load, so nobody can say what may go where; {error}")
    today = now.date()
    if session.options.json:
        session.screen.data([facts_of(place, modes, today) for place in places])
        return
    session.screen.table(COLUMNS, [row_of(place, today) for place in places])
    if modes:
        session.screen.say("")
        header = ("target", *modes)
        session.screen.table(header, [(place.target.id, *mode_words(place, modes)) for place in places])
    told = [f"{place.target.id}: {what} attested by {evidence}" for place in places for what, evidence in place.vouched]
    for line in ["", *told] if told else ():
        session.screen.say(line)


@command(app, "probe")
def probe_targets(
    session: Session,
    *,
    targets: Annotated[list[str] | None, typer.Argument(metavar="[TARGET]...", help="Default: all of them.")] = None,
) -> None:
    """Find out what the targets really do, and rely on no more than that. Exits with 1 for what was promised."""
    from sovbroker.opening import catalogue_of, place_of  # noqa: PLC0415  # as above
    from sovbroker.probing import ProbeFile  # noqa: PLC0415  # as above
    from sovbroker.router import Stores, Targets  # noqa: PLC0415  # as above

    config = session.configuration()
    catalogue = catalogue_of(config)
    places = {place.target.id: place for place in (place_of(target, catalogue) for target in config.targets)}
    stores = Stores(places, ProbeFile(config.state))
    session.screen.note(f"probing {', '.join(targets or places)}; this takes some seconds")
    probes = Targets(stores).probe(*(targets or ()))
    stores.close()
    if session.options.json:
        session.screen.data([{**probe.to_dict(), "wrong": [line.name for line in probe.wrong]} for probe in probes])
    else:
        print_matrix(session.screen, probes)
    if any(probe.error or probe.wrong for probe in probes):
        raise typer.Exit(Exit.FAILURE)


def countries_text(fact: Fact[frozenset[str]]) -> str:
    """Tell a fact about countries."""
    return "unknown" if fact.value is None else ", ".join(sorted(fact.value)) or "none"


def qualified_text(place: Place, today: date) -> str:
    """Tell the qualifications that count today, with their versions."""
    return ", ".join(f"{scheme} {version}".strip() for scheme, version in qualifications(place, today)) or "-"


def qualifications(place: Place, today: date) -> list[tuple[str, str]]:
    """Return the qualifications that count today, with their versions, "" where it is not known."""
    from sovbroker.catalogue.facts import Status  # noqa: PLC0415  # as above

    return sorted(
        (found.scheme, ".".join(map(str, found.version)))
        for found in place.target.facts.qualified
        if found.status is Status.QUALIFIED and found.evidence.supports(today)
    )


def modes_of(policy: Policy) -> Modes:
    """Return what may go where, the least level first."""
    lattice = policy.lattice
    return {level: policy.modes(lattice.mask_of_text(level)) for level in lattice.levels}


def mode_words(place: Place, modes: Modes) -> Sequence[str]:
    """Return the modes in which a target may hold each level."""
    return [str(found.get(place.target.id, REFUSED)) for found in modes.values()]


def row_of(place: Place, today: date) -> tuple[str, ...]:
    """Return the cells of one target."""
    return (
        place.target.id,
        place.adapter,
        place.binding.container or "-",
        countries_text(place.target.facts.located),
        countries_text(place.target.facts.controlled),
        qualified_text(place, today),
        (urlsplit(place.binding.endpoint or "").netloc or "this machine") if place.target.emulated else "-",
    )


def facts_of(place: Place, modes: Modes | None, today: date) -> dict[str, object]:
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
        "qualified": [
            {"scheme": scheme, "version": version or None} for scheme, version in qualifications(place, today)
        ],
        "modes": None if modes is None else dict(zip(modes, mode_words(place, modes), strict=True)),
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
