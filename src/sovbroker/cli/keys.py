"""The commands on keyrings: init, status, and their life: rotate, rewrap, recipients, shred, recovery, drill."""

from __future__ import annotations

import os
import sys
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sovbroker.cli.failures import Exit
from sovbroker.cli.passphrase import new_passphrase
from sovbroker.cli.session import Session, command
from sovbroker.errors import ConfigError

if TYPE_CHECKING:
    from sovbroker.doctor import KeyringState
    from sovbroker.recipients import KeyConfig

__all__ = ["app", "tell_code"]

app = typer.Typer()
recipients = typer.Typer()
app.add_typer(recipients, name="recipients", help="Who can open a keyring.")

CODE: Final = "SOVBROKER_RECOVERY"
KEYRING: Final[Any] = typer.Argument(metavar="[KEYRING]", help="Its name under `keys`; needed where there are several.")


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
        if code is not None:
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


@command(app, "rotate")
def rotate(
    session: Session,
    *,
    keyring: Annotated[str, KEYRING] = "",
    domain: Annotated[str, typer.Option(help="Only this domain; otherwise all of them.")] = "",
) -> None:
    """Give domains a new key, for new objects. No object is touched."""
    from sovbroker.recipients import open_keyring  # noqa: PLC0415  # `--help` must not wait for it

    key = keyring_named(session, keyring)
    with open_keyring(key) as opened:
        names = [domain] if domain else [one.name for one in opened.status().domains]
        renewed = [opened.rotate(name) for name in names]
    if session.options.json:
        session.screen.data([{"domain": one.name, "epoch": one.epoch, "kid": one.kid} for one in renewed])
        return
    for one in renewed:
        session.screen.say(f"{one.name}: epoch {one.epoch} from now on, {one.kid}")
    session.screen.say(f"keep a copy of {key.path} again: older copies do not open what is stored from now on")


@command(app, "rewrap")
def rewrap(
    session: Session,
    *,
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="[DOMAIN]...", help="Only these; otherwise all of them.")
    ] = None,
) -> None:
    """Bring what is stored under the keys that `rotate` made. No body moves. Exits with 1 when something is left."""
    with session.broker() as broker, session.screen.counted("versions") as told:
        found = broker.rewrap(*(domains or ()), progress=told)
    if session.options.json:
        session.screen.data(found.to_dict())
    else:
        session.screen.say(f"{found.done} versions are under the current keys now, {len(found.left)} are left")
        for item in found.left:
            session.screen.say(f"left under the old key: {item}")
        if found.names:
            session.screen.say(f"{found.names} copies have encrypted names, which stay under the old key")
    if not found.whole:
        raise typer.Exit(Exit.FAILURE)


@command(recipients, "list")
def listed(session: Session, *, keyring: Annotated[str, KEYRING] = "") -> None:
    """Show who can open a keyring, as its file says, and as the configuration does."""
    from sovbroker.keys.file import load  # noqa: PLC0415  # as above

    key = keyring_named(session, keyring)
    ring = load(key.path).ring
    holding = {one.name for one in ring.recipients}
    told: list[dict[str, object]] = []
    cells: list[tuple[str, ...]] = []
    known = {one.name: (one.service, one.located, one.controlled) for one in key.recipients}
    if key.recovery:
        known["recovery"] = ("code", key.located, key.controlled)
    for name in dict.fromkeys([*known, *(one.name for one in ring.recipients)]):
        service, located, controlled = known.get(name, ("", None, None))
        places = [sorted(located or ()), sorted(controlled or ())]
        told.append(
            {
                "name": name,
                "service": service or None,
                "holds": name in holding,
                "located": places[0],
                "controlled": places[1],
            }
        )
        lacking = f"no: `keys {'recovery' if name == 'recovery' else 'recipients apply'}`"
        holds = "yes" if name in holding else lacking
        cells.append((name, service or "not in the configuration", holds, *map(",".join, places)))
    if session.options.json:
        session.screen.data({"keyring": key.name, "quorum": ring.quorum, "configured": key.quorum, "recipients": told})
        return
    session.screen.table(("name", "service", "holds keys", "located", "controlled"), cells)
    session.screen.say(f"it takes {ring.quorum} of them" if ring.quorum > 1 else "any of them opens it")


@command(recipients, "apply")
def apply(session: Session, *, keyring: Annotated[str, KEYRING] = "") -> None:
    """Give a keyring the recipients and the quorum that the configuration says."""
    from sovbroker.recipients import apply_recipients  # noqa: PLC0415  # as above

    key = keyring_named(session, keyring)
    found = apply_recipients(key)
    if session.options.json:
        session.screen.data({"keyring": key.name, "quorum": found.quorum, "recipients": list(found.recipients)})
        return
    session.screen.say(f"{key.name}: {', '.join(found.recipients)}; it takes {found.quorum}")
    session.screen.say("older copies of the file still open as they did; `sovbroker keys rotate` is for what comes")


@command(app, "shred")
def shred(
    session: Session,
    *,
    domain: Annotated[str, typer.Argument(metavar="DOMAIN")],
    keyring: Annotated[str, typer.Option(help="Its name under `keys`; needed where there are several.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it: nothing opens what was sealed under it any more.")] = False,
) -> None:
    """Destroy every key of a domain. What was sealed under them is lost."""
    from sovbroker.recipients import open_keyring  # noqa: PLC0415  # as above

    key = keyring_named(session, keyring)
    if not yes:
        raise ConfigError(
            f"nothing was destroyed: everything that is sealed in `{domain}` would be lost for ever; say `--yes`"
        )
    with open_keyring(key) as opened:
        kids = opened.shred(domain)
    if session.options.json:
        session.screen.data({"keyring": key.name, "domain": domain, "destroyed": list(kids)})
        return
    session.screen.say(f"destroyed {len(kids)} keys of {domain}: {', '.join(kids)}")
    session.screen.say(f"destroy every older copy of {key.path}, too: they still hold the keys")


@command(app, "recovery")
def recovery(session: Session, *, keyring: Annotated[str, KEYRING] = "") -> None:
    """Print a new recovery code, which takes the place of the one before."""
    from sovbroker.recipients import open_keyring  # noqa: PLC0415  # as above

    key = keyring_named(session, keyring)
    if not key.recovery:
        raise ConfigError(f"`keys: {key.name}` says `recovery: false`; change that first")
    with open_keyring(key) as opened:
        code = opened.renew_recovery()
    if session.options.json:
        session.screen.data({"keyring": key.name, "path": str(key.path), "recovery_code": code})
        return
    session.screen.say(f"the keyring {key.path} has a new recovery code; the one before opens only older copies")
    tell_code(session, code)


@command(app, "drill")
def drill(
    session: Session,
    *,
    keyring: Annotated[str, KEYRING] = "",
    copy: Annotated[Path | None, typer.Option(help="A copy of the keyring's file, to try that.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="How many objects to read.")] = 20,
) -> None:
    """Try the recovery code: read some objects with it and a copy of the keyring alone."""
    from sovbroker.drilling import drill as hold  # noqa: PLC0415  # as above

    config = session.configuration()
    key = keyring_named(session, keyring)
    found = hold(config, key, recovery_code(), sample=sample, copy=copy)
    if session.options.json:
        session.screen.data(found.to_dict())
    else:
        session.screen.say(f"{len(found.opened)} of {found.sealed} sealed objects were read whole with the code")
        for name, why in found.failed.items():
            session.screen.say(f"not opened: {name}: {why}")
        if not found.sealed:
            session.screen.say("nothing is sealed under this keyring, so the drill has shown nothing")
    if not found.passed:
        raise typer.Exit(Exit.FAILURE)


def keyring_named(session: Session, name: str) -> KeyConfig:
    """Return the keyring of that name, or the only one. Raises ConfigError that lists them."""
    found = {key.name: key for key in session.configuration().keys}
    if not found:
        raise ConfigError("the configuration names no keyring; add one under `keys`")
    known = ", ".join(f"`{one}`" for one in found)
    if not name and len(found) > 1:
        raise ConfigError(f"the configuration has several keyrings; name one of {known}")
    if name and name not in found:
        raise ConfigError(f"the configuration has no keyring `{name}`; there is {known}")
    return found[name] if name else next(iter(found.values()))


def recovery_code() -> str:
    """Return the recovery code of the environment, else the one that is typed. Never an argument: others see those."""
    given = os.environ.get(CODE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise ConfigError(f"there is no recovery code; set the environment variable `{CODE}`, or run it on a terminal")
    return getpass("recovery code: ")


def create(key: KeyConfig) -> str | None:
    """Create one keyring and return its recovery code, None where it is to have none."""
    from sovbroker.recipients import create_keyring  # noqa: PLC0415  # as above

    source = key.passphrase
    return create_keyring(key, passphrase=None if source is None else new_passphrase(source, name=str(key.path)))


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
