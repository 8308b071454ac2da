"""The commands on the catalogue of providers: list, show, table, lint."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovbroker.cli.failures import Exit
from sovbroker.cli.policy.check import print_findings
from sovbroker.cli.session import Session, command
from sovbroker.cli.targets import countries_text

if TYPE_CHECKING:
    from sovbroker.catalogue.facts import Evidence
    from sovbroker.catalogue.provider import Grant, Provider, Statement

__all__ = ["app"]

app = typer.Typer()


@command(app, "list")
def list_providers(session: Session) -> None:
    """List the providers: regions, whose law reaches them, and the qualifications that count today."""
    from sovbroker import catalogue  # noqa: PLC0415  # `--help` must not wait for it

    shipped = catalogue.load()
    providers = [shipped.provider(name) for name in shipped.providers]
    today = datetime.now(UTC).date()
    if session.options.json:
        session.screen.data([list_facts(provider, today) for provider in providers])
        return
    session.screen.table(
        ("provider", "regions", "controlled", "qualified today", "adapter"),
        [
            (
                provider.id,
                ", ".join(provider.regions) or "-",
                countries_text(provider.controlled),
                "; ".join(grant_text(grant) for grant in living(provider, today)) or "-",
                provider.storage.adapter or "-",
            )
            for provider in providers
        ],
    )


@command(app, "show")
def show(
    session: Session,
    *,
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="A provider's id, as `catalogue list` shows it.")],
) -> None:
    """Show every fact about a provider: from where it is known, since when, how surely, and until when it counts."""
    from sovbroker import catalogue  # noqa: PLC0415  # as above

    found = catalogue.load().provider(provider)
    today = datetime.now(UTC).date()
    if session.options.json:
        session.screen.data(show_facts(found, today))
        return
    session.screen.say(f"{found.id}: {found.name} ({found.tier})")
    for statement in found.statements():
        session.screen.say(f"\n{statement.about}: {value_text(statement.value)}\n  {evidence_text(statement, today)}")
        if statement.evidence.note:
            session.screen.say(f"  note: {statement.evidence.note}")
    if found.sources:
        session.screen.say("\nsources")
    for name, source in found.sources.items():
        session.screen.say(f"  {name}: {source.ref}{f' ({source.date})' if source.date else ''}")


@command(app, "table")
def table(
    session: Session,
    *,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="FILE", help="Replace the table in this Markdown page.")
    ] = None,
) -> None:
    """Print the table of providers as Markdown: how each one is reached, where, whose law, what is qualified."""
    from sovbroker import catalogue  # noqa: PLC0415  # as above
    from sovbroker.catalogue.table import BEGIN, END, provider_table, replaced  # noqa: PLC0415  # as above
    from sovbroker.errors import ConfigError  # noqa: PLC0415  # as above

    text = provider_table(catalogue.load())
    if into is None:
        session.screen.line(text.rstrip("\n"))
        return
    try:
        page = into.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read `{into}`: {error}") from error
    found = replaced(page, text)
    if found is None:
        raise ConfigError(f"`{into}` has no place for the table; write these two lines into it:\n{BEGIN}\n{END}")
    into.write_text(found, "utf-8")
    session.screen.say(f"wrote {into}")


@command(app, "lint")
def lint(
    session: Session,
    *,
    path: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Provider files [default: the shipped ones].")
    ] = None,
) -> None:
    """Check provider files, and print every finding with its place."""
    from sovbroker import catalogue  # noqa: PLC0415  # as above

    found = catalogue.lint(path)
    errors = any(finding.severity == "error" for finding in found)
    if session.options.json:
        session.screen.data({"ok": not errors, "diagnostics": [asdict(finding) for finding in found]})
    else:
        print_findings(session, found)
    if errors:
        raise typer.Exit(Exit.USAGE)


def living(provider: Provider, today: date) -> list[Grant]:
    """Return the grants that count for some target today."""
    return [
        grant
        for grant in provider.grants
        if any(
            grant.qualification in provider.target(region, offer=offer).facts.qualified
            for region in provider.regions
            for offer in grant.offers
        )
        and grant.qualification.status == "qualified"
        and grant.qualification.evidence.supports(today)
    ]


def grant_text(grant: Grant) -> str:
    """Tell a qualification: the scheme, its version, and where."""
    version = ".".join(str(number) for number in grant.qualification.version)
    return f"{' '.join(filter(None, (grant.qualification.scheme, version)))} ({', '.join(sorted(grant.regions))})"


def value_text(value: object) -> str:
    """Tell a fact's value as people write it."""
    match value:
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no"
        case frozenset() | tuple() | list():
            items: list[str] = [str(item) for item in value]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]  # a set of anything has texts
            return ", ".join(sorted(items)) or "none"
        case _:
            return str(value)


def evidence_text(statement: Statement, today: date) -> str:
    """Tell why a fact is believed, and whether it may satisfy a requirement today."""
    evidence = statement.evidence
    parts = [
        evidence.basis.value,
        f"confidence {evidence.confidence.value}",
        f"as of {evidence.as_of or 'unknown'}",
        f"expires {evidence.expires}" if evidence.expires else "no end stated",
        f"from {', '.join(evidence.sources) or 'nowhere'}",
    ]
    if statement.value is None or not evidence.supports(today):
        parts.append("supports nothing today")
    return ", ".join(parts)


def evidence_facts(evidence: Evidence, today: date) -> dict[str, object]:
    """Return evidence as JSON types."""
    return {
        "basis": evidence.basis.value,
        "confidence": evidence.confidence.value,
        "sources": list(evidence.sources),
        "as_of": None if evidence.as_of is None else evidence.as_of.isoformat(),
        "expires": None if evidence.expires is None else evidence.expires.isoformat(),
        "note": evidence.note,
        "supports_today": evidence.supports(today),
    }


def list_facts(provider: Provider, today: date) -> dict[str, object]:
    """Return one provider of the list as JSON types. What is unknown is null."""
    controlled = provider.controlled.value
    return {
        "provider": provider.id,
        "name": provider.name,
        "tier": provider.tier,
        "regions": list(provider.regions),
        "controlled": None if controlled is None else sorted(controlled),
        "qualified": [
            {
                "scheme": grant.qualification.scheme,
                "version": ".".join(str(number) for number in grant.qualification.version),
                "offers": sorted(grant.offers),
                "regions": sorted(grant.regions),
                "expires": evidence_facts(grant.qualification.evidence, today)["expires"],
            }
            for grant in living(provider, today)
        ],
        "adapter": provider.storage.adapter,
    }


def show_facts(provider: Provider, today: date) -> dict[str, object]:
    """Return every fact about one provider as JSON types."""
    return {
        "provider": provider.id,
        "name": provider.name,
        "tier": provider.tier,
        "facts": [
            {"about": found.about, "value": json_value(found.value), **evidence_facts(found.evidence, today)}
            for found in provider.statements()
        ],
        "sources": {name: {"ref": source.ref, "date": source.date} for name, source in provider.sources.items()},
    }


def json_value(value: object) -> object:
    """Return a fact's value as JSON types."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case frozenset() | tuple() | list():
            items: list[str] = [str(item) for item in value]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]  # as above
            return sorted(items)
        case _:
            return str(value)
