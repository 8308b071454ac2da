"""The commands on the accounts of providers: regions, containers, users, create, rotate."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sovbroker.cli.session import Session, command
from sovbroker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sovbroker.accounts import KeyFolder
    from sovbroker.ports import AccessKey, Accounts
    from sovbroker.router import Place

__all__ = ["app"]

app = typer.Typer()

PROVIDER: Final = typer.Argument(metavar="[PROVIDER]", help="The account; needed where there are several.")
WRITTEN: Final = "--to DIR or --print: a secret goes to a private folder, or is shown this once"


@command(app, "regions")
def regions(session: Session, provider: Annotated[str, PROVIDER] = "") -> None:
    """List the regions of the project."""
    with opened(session, provider) as accounts:
        found = accounts.regions()
    if session.options.json:
        session.screen.data(list(found))
        return
    for region in found:
        session.screen.key(region)


@command(app, "containers")
def containers(session: Session, provider: Annotated[str, PROVIDER] = "") -> None:
    """List the containers of the project, and the region of each."""
    with opened(session, provider) as accounts:
        found = accounts.containers()
    if session.options.json:
        session.screen.data([{"name": one.name, "region": one.region} for one in found])
        return
    session.screen.table(("container", "region"), [(one.name, one.region) for one in found])


@command(app, "users")
def users(session: Session, provider: Annotated[str, PROVIDER] = "") -> None:
    """List the users of the project, and their access keys. Secrets are not asked for."""
    with opened(session, provider) as accounts:
        found = [(user, accounts.keys(user.id)) for user in accounts.users()]
    if session.options.json:
        session.screen.data(
            [
                {"id": user.id, "name": user.name, "description": user.description, "status": user.status, "keys": keys}
                for user, keys in found
            ]
        )
        return
    rows = [(user.id, user.name, user.status, user.description, ", ".join(keys) or "-") for user, keys in found]
    session.screen.table(("id", "name", "status", "description", "access keys"), rows)


@command(app, "create")
def create(
    session: Session,
    provider: Annotated[str, PROVIDER] = "",
    *,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="A private folder for the keys.")] = None,
    shown: Annotated[bool, typer.Option("--print", help="Print the keys, this once.")] = False,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="An existing user, instead of a new one.")] = "",
    description: Annotated[str, typer.Option("--description", help="What the new user is called.")] = "sovbroker",
) -> None:
    """Make a user for storage, and a pair of keys."""
    from sovbroker.accounts import KeyFolder  # noqa: PLC0415  # `--help` must not wait for it

    if (to is None) != shown:
        raise ConfigError(f"say where the keys go: {WRITTEN}")
    with opened(session, provider) as accounts:
        if to is None:
            show(session, accounts.create_key(user or accounts.create_user(description).id))
            return
        folder = KeyFolder(to)
        with folder.locked():
            if folder.current() is not None or folder.others():
                raise ConfigError(f"there are keys in `{to}` already; `sovbroker accounts rotate` replaces them")
            key = accounts.create_key(user or accounts.create_user(description).id)
            folder.add(key)
            folder.use(key.access_key)
    tell(session, {"access_key": key.access_key, "folder": str(to)}, f"keys {key.access_key} are in {to}/current")


@command(app, "rotate")
def rotate(session: Session, target: Annotated[str, typer.Argument(metavar="TARGET")]) -> None:
    """Replace the keys of a target: new ones are made and proven at its storage before the old ones are removed."""
    from sovbroker.accounts import rotate as rotate_keys  # noqa: PLC0415  # as above
    from sovbroker.opening import accounts_of  # noqa: PLC0415  # as above

    config = session.configuration()
    place, folder = configured(session, target)
    with closing(accounts_of(config, place.target.provider)) as accounts:
        done = rotate_keys(accounts, folder, prove=prover(place))
    facts: dict[str, object] = {"user": done.user.id, "old": done.old, "new": done.new, "removed": list(done.removed)}
    tell(session, facts, f"{target}: the keys {done.new} are in use, and {done.old} are removed")


def opened(session: Session, provider: str) -> AbstractContextManager[Accounts]:
    """Open the account plane that is meant. Raises ConfigError."""
    from sovbroker.opening import accounts_of  # noqa: PLC0415  # as above

    config = session.configuration()
    names = [account.provider for account in config.accounts]
    if not provider and len(names) != 1:
        known = (
            f"say which one: {', '.join(names)}" if names else "the configuration has none; add one under `accounts`"
        )
        raise ConfigError(f"no account is named; {known}")
    return closing(accounts_of(config, provider or names[0]))


def configured(session: Session, name: str) -> tuple[Place, KeyFolder]:
    """Return a target, and the folder that its keys are in. Raises ConfigError."""
    from sovbroker.accounts import CURRENT, KeyFolder  # noqa: PLC0415  # as above
    from sovbroker.opening import catalogue_of, place_of  # noqa: PLC0415  # as above

    config = session.configuration()
    found = next((one for one in config.targets if one.at == name), None)
    if found is None:
        known = ", ".join(one.at for one in config.targets)
        raise ConfigError(f"the configuration has no target `{name}`; it has {known}")
    named = {key: source.file for key, source in found.credentials.single.items() if source.file is not None}
    access, secret = named.get("access_key"), named.get("secret_key")
    if access is None or secret is None or access.parent != secret.parent or access.parent.name != CURRENT:
        raise ConfigError(
            f"the keys of `{name}` are not in a folder of `sovbroker accounts create --to DIR`; give `access_key: "
            f"{{file: DIR/{CURRENT}/access_key}}` and `secret_key: {{file: DIR/{CURRENT}/secret_key}}`"
        )
    return place_of(found, catalogue_of(config)), KeyFolder(access.parent.parent)


def prover(place: Place) -> Callable[[AccessKey], None]:
    """Return what uses a pair of keys at a target: it lists, and raises what the store raises."""
    from sovbroker.ports import Credentials  # noqa: PLC0415  # as above

    def prove(key: AccessKey) -> None:
        secrets = Credentials({"access_key": key.access_key, "secret_key": key.secret_key})
        store = replace(place, credentials=lambda: secrets).open()
        try:
            next(iter(store.list()), None)
        finally:
            store.close()

    return prove


def show(session: Session, key: AccessKey) -> None:
    """Print a pair of keys, this once."""
    if session.options.json:
        session.screen.data({"access_key": key.access_key, "secret_key": key.secret_key})
        return
    session.screen.line(f"access_key: {key.access_key}")
    session.screen.line(f"secret_key: {key.secret_key}")
    session.screen.note("keep the secret in a private file: it is not shown twice")


def tell(session: Session, facts: dict[str, object], text: str) -> None:
    """Tell what was done."""
    if session.options.json:
        session.screen.data(facts)
    else:
        session.screen.say(text)
