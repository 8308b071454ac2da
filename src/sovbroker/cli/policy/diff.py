"""The command that tells what a new policy changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from sovbroker.cli.failures import Exit, facts_of, message_of
from sovbroker.cli.policy.app import app
from sovbroker.cli.session import Session, command

if TYPE_CHECKING:
    from sovbroker.policy import Policy
    from sovbroker.policy.compare import Difference

__all__ = ["diff"]

PLACEMENTS: Final = "placements"


@command(app, "diff")
def diff(
    session: Session,
    *,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The policy that holds.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The policy that is to hold.")],
    inventory: Annotated[
        str | None,
        typer.Option(
            "--inventory", metavar="FILE|placements", help="JSON lines, or what the broker's state database holds."
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page that shows it.")] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="DAY", help="Judge on this day [default: today].")] = None,
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="What to print.")] = "text",
) -> None:
    """Tell what a new policy changes: what loosens, tightens, moves, and is refused.

    Exits with 0 when nothing changes, 1 when anything changes, 3 when anything loosens, and 2 for an error.
    """
    from sovbroker.errors import SovbrokerError  # noqa: PLC0415  # `--help` must not wait for it

    try:
        found = _compared(session, old, new, inventory, _day(at))
        if html is not None:
            _write(html, found)
    except (SovbrokerError, OSError) as error:
        # Every code but 2 is an answer here.
        session.screen.fail(message_of(error), facts_of(error))
        raise typer.Exit(Exit.USAGE) from error
    if session.options.json or form == "json":
        session.screen.data(found.to_dict())
    else:
        session.screen.say(str(found))
    raise typer.Exit(found.exit_code)


def _compared(session: Session, old: Path, new: Path, inventory: str | None, day: date) -> Difference:
    from sovbroker.policy.compare import compare, compare_lines  # noqa: PLC0415  # as above

    before, after = _load(session, (old, new), day, configured=inventory == PLACEMENTS)
    if inventory is None:
        return compare(before, after, at=day)
    if inventory == PLACEMENTS:
        from sovbroker.cli.policy.placed import placed_items  # noqa: PLC0415  # as above

        return compare(before, after, placed_items(session.configuration().state), at=day)
    with Path(inventory).open("rb") as file:
        return compare_lines(before, after, file, at=day, name=inventory)


def _load(session: Session, files: tuple[Path, Path], day: date, *, configured: bool) -> tuple[Policy, Policy]:
    """Load policies as `policy check` does: for the targets of the configuration, or else of the catalogue.

    Without a configuration the key services that either policy would have are assumed for both: what differs is then
    the policies' doing.
    """
    from sovbroker import policy  # noqa: PLC0415  # as above
    from sovbroker.opening import world_of  # noqa: PLC0415  # as above

    now = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if configured or session.options.config is not None:
        world = world_of(session.configuration())
        old, new = (
            policy.load(file, targets=world.targets, keys=world.keys, catalogue_digest=world.digest, at=now)
            for file in files
        )
        return old, new
    old, new = (policy.load(file, keys=None, at=now) for file in files)
    assumed = {holder.id: holder for holder in old.world.holders}
    for holder in new.world.holders:
        known = assumed.setdefault(holder.id, holder)
        if known.facts != holder.facts:
            assumed[f"{holder.id} (as the new policy has it)"] = replace(
                holder, id=f"{holder.id} (as the new policy has it)"
            )
    first, second = (policy.load(file, keys=tuple(assumed.values()), at=now) for file in files)
    return first, second


def _day(text: str | None) -> date:
    from sovbroker.errors import InvalidArgument  # noqa: PLC0415  # as above

    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(f"`--at {text}` is not a day; write it as 2026-11-24") from error


def _write(file: Path, found: Difference) -> None:
    from sovbroker.cli.output import file_sink  # noqa: PLC0415  # as above
    from sovbroker.policy.compare import as_page  # noqa: PLC0415  # as above

    with file_sink(file) as sink:
        sink.write(as_page(found).encode("utf-8", "backslashreplace"))
