"""The commands on keyrings: init, status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sovbroker.cli.failures import Exit
from sovbroker.cli.passphrase import new_passphrase
from sovbroker.cli.session import Session, command
from sovbroker.errors import ConfigError

if TYPE_CHECKING:
    from sovbroker.config import KeyConfig
    from sovbroker.doctor import KeyringState

__all__ = ["app", "tell_code"]

app = typer.Typer()


@command(app, "init")
def init(session: Session) -> None:
    """Create the keyrings that the configuration names and that are not there. Never replaces one."""
    config = session.configuration()
    missing = [key for key in config.keys if not key.path.exists()]
    if not missing:
        raise ConfigError(
            "every keyring of the configuration is there, and was left as it is"
            if config.keys
            else "the configuration names no keyring; add one under `keys`"
        )
    codes = [(key, create(key)) for key in missing]
    if session.options.json:
        created = [{"name": key.name, "path": str(key.path), "recovery_code": code} for key, code in codes]
        session.screen.data({"created": created})
        return
    for key, code in codes:
        session.screen.say(f"created the keyring {key.path}")
        tell_code(session, code)


@command(app, "status")
def status(session: Session) -> None:
    """Show every keyring: whether it opens, who can open it, and its domains."""
    from sovbroker.doctor import keyrings  # noqa: PLC0415  # `--help` must not wait for it

    states = keyrings(session.configuration())
    if session.options.json:
        session.screen.data([state.to_dict() for state in states])
    else:
        session.screen.table(("name", "path", "state", "recipients", "domains"), [row_of(state) for state in states])
    if any(state.error for state in states):
        raise typer.Exit(Exit.FAILURE)


def create(key: KeyConfig) -> str:
    """Create one keyring and return its recovery code."""
    from sovbroker.keys import Keyring, PassphraseService  # noqa: PLC0415  # as above

    service = PassphraseService(new_passphrase(key.passphrase, name=str(key.path)))
    keyring, code = Keyring.create(key.path, service, recovery=True)
    keyring.close()
    return code or ""


def row_of(state: KeyringState) -> tuple[str, ...]:
    """Return the cells of one keyring."""
    if state.status is None:
        what = f"locked: {state.locked}" if state.locked else f"broken: {state.error}"
        return (state.name, str(state.path), what, "-", "-")
    domains = [f"{domain.name} (epoch {domain.epoch})" for domain in state.status.domains]
    return (state.name, str(state.path), "opens", ", ".join(state.status.recipients), ", ".join(domains) or "-")


def tell_code(session: Session, code: str) -> None:
    """Print a recovery code, this once."""
    session.screen.say(f"\nrecovery code: {code}\n")
    session.screen.say(
        "Write it down and keep it in a safe. It opens the keyring when the passphrase is lost, and is not shown twice."
    )
