"""The command that lists the installed packs."""

from __future__ import annotations

from sovbroker.cli.policy.app import app
from sovbroker.cli.session import Session, command

__all__ = ["packs"]


@command(app, "packs")
def packs(session: Session) -> None:
    """List the packs that a policy can extend: what each is about, and its parameters."""
    from sovbroker.policy.sources import describe  # noqa: PLC0415  # `--help` must not wait for it

    found = describe()
    if session.options.json:
        session.screen.data(found)
        return
    rows = [(name, str(pack["status"]), str(pack["as_of"]), str(pack["title"])) for name, pack in found.items()]
    session.screen.table(("pack", "status", "as of", "about"), rows)
