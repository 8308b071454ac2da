"""The command that writes a policy in the language of another policy engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovbroker.cli.output import file_sink
from sovbroker.cli.policy.app import app
from sovbroker.cli.session import Session, command

if TYPE_CHECKING:
    from sovbroker.policy import Policy

__all__ = ["Language", "export_policy"]


class Language(StrEnum):
    """What a policy can be exported to."""

    REGO = "rego"
    CEDAR = "cedar"


@command(app, "export")
def export_policy(
    session: Session,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy.")],
    to: Annotated[Language, typer.Option("--to", help="The language: Rego, for OPA, or Cedar.")],
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at", metavar="DAY", formats=["%Y-%m-%d"], help="The day on which facts count [default: today]."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write to; it is made.")
    ] = Path(),
) -> None:
    """Write a policy, and the facts it is judged with, in Rego or Cedar, for whoever trusts another engine.

    With --config, the facts are those of the targets and key services of the configuration; without it, those of every
    target of the catalogue, and a key service in each zone that the policy wants keys in.
    """
    moment = datetime.now(UTC) if at is None else at.replace(tzinfo=UTC)
    policy, day = _loaded(session, file, at=moment), moment.date()
    contents = _contents(policy, to, day=day)
    output.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        with file_sink(output / name) as sink:
            sink.write(text.encode())
    written = [str(output / name) for name in contents]
    if session.options.json:
        session.screen.data({"written": written, "at": day.isoformat()})
        return
    session.screen.say(f"wrote {', '.join(written)}, for {day}")


def _contents(policy: Policy, to: Language, *, day: date) -> Mapping[str, str]:
    """Return the files of an export by their names."""
    from sovbroker.policy.export import rego_facts, to_cedar, to_rego  # noqa: PLC0415  # `--help` must not wait for it

    match to:
        case Language.REGO:
            return {"policy.rego": to_rego(policy, at=day), "data.json": rego_facts(policy, at=day)}
        case Language.CEDAR:
            found = to_cedar(policy, at=day)
            return {
                "policy.cedar": found.policies,
                "policy.cedarschema": found.schema,
                "entities.json": found.entities,
            }


def _loaded(session: Session, file: Path, *, at: datetime) -> Policy:
    """Load a policy, over the targets and key services of the configuration where one is named."""
    from sovbroker import policy as policies  # noqa: PLC0415  # as above

    if session.options.config is None:
        return policies.load(file, keys=None, at=at)
    from sovbroker.opening import world_of  # noqa: PLC0415  # as above

    world = world_of(session.configuration())
    return policies.load(file, targets=world.targets, keys=world.keys, catalogue_digest=world.digest, at=at)
