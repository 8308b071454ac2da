"""The commands that change objects: put, cp, mv, relabel, rm, shred."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from sovbroker.cli.failures import Exit, code_of, facts_of, message_of
from sovbroker.cli.screen import size_text
from sovbroker.cli.session import Session, command
from sovbroker.cli.waking import standard_input
from sovbroker.errors import InvalidArgument, SovbrokerError

if TYPE_CHECKING:
    from sovbroker.objects import Stored
    from sovbroker.shredding import Shredded

__all__ = ["app"]

STANDARD_INPUT = "-"

app = typer.Typer()

Label = Annotated[str | None, typer.Option("--label", metavar="LABEL", help="Give it at least this label.")]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="The key of an object.")]
Destination = Annotated[str, typer.Argument(metavar="DESTINATION", help="The key that it shall have.")]


@command(app, "put")
def put(
    session: Session,
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to store; `-` is standard input.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The object's name.")],
    label: Label = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="Metadata; repeatable.")
    ] = None,
    content_type: Annotated[str | None, typer.Option(metavar="TYPE", help="The media type.")] = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Fail when there is an object.")] = False,
    if_version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Fail unless the object has this version.")
    ] = None,
) -> None:
    """Store a file under a key, where the policy allows it."""
    metadata = dict(pair_of(text) for text in meta or [])
    with (
        source_of(file) as (data, size),
        session.broker() as broker,
        session.screen.transfer(key, size) as progress,
    ):
        stored = broker.put(
            key,
            data,
            label=label,
            metadata=metadata,
            content_type=content_type,
            if_absent=if_absent,
            if_version=if_version,
            progress=progress,
        )
    tell(session, stored)


@command(app, "cp")
def cp(session: Session, *, source: Source, destination: Destination, label: Label = None) -> None:
    """Copy an object to another key, sealed anew."""
    with session.broker() as broker:
        stored = broker.copy(source, destination, label=label)
    tell(session, stored)


@command(app, "mv")
def mv(session: Session, *, source: Source, destination: Destination, label: Label = None) -> None:
    """Move an object to another key, in one step."""
    with session.broker() as broker:
        stored = broker.move(source, destination, label=label)
    tell(session, stored)


@command(app, "relabel")
def relabel(
    session: Session,
    *,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The object.")],
    label: Annotated[str, typer.Argument(metavar="LABEL", help="The label that it shall have at least.")],
) -> None:
    """Raise the label of an object: it is placed and sealed anew."""
    with session.broker() as broker:
        stored = broker.relabel(key, label)
    tell(session, stored)


@command(app, "rm")
def rm(
    session: Session,
    *,
    keys: Annotated[list[str], typer.Argument(metavar="KEY", help="The objects.")],
) -> None:
    """Remove objects. What fails is reported, and the rest is removed all the same."""
    removed: list[str] = []
    failures: dict[str, SovbrokerError] = {}
    with session.broker() as broker:
        for key in keys:
            try:
                broker.delete(key)
            except SovbrokerError as error:
                failures[key] = error
                session.screen.fail(message_of(error), facts_of(error))
            else:
                removed.append(key)
                session.screen.say(f"removed {key}")
    if session.options.json:
        session.screen.data({"removed": removed, "failed": list(failures)})
    codes = {code_of(error) for error in failures.values()}
    if codes:
        raise typer.Exit(codes.pop() if len(codes) == 1 else Exit.FAILURE)


@command(app, "shred")
def shred(
    session: Session,
    *,
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]", help="The objects.")] = None,
    prefix: Annotated[str, typer.Option(help="Every object whose key begins so, too.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it: they are gone for good.")] = False,
) -> None:
    """Destroy objects: every version and copy, seen to be gone at every provider."""
    from sovbroker.objects import Info  # noqa: PLC0415  # `--help` must not wait for it

    with session.broker() as broker:
        found = [info.key for info in broker.list(prefix) if isinstance(info, Info)] if prefix else []
        wanted = list(dict.fromkeys([*(keys or ()), *found]))
        if not wanted:
            raise InvalidArgument("nothing was destroyed: name objects, or a `--prefix` under which there are some")
        if not yes:
            what = f"`{wanted[0]}`" if len(wanted) == 1 else f"{len(wanted)} objects"
            raise InvalidArgument(f"nothing was destroyed: {what} would be gone for good; say `--yes`")
        gone: list[Shredded] = []
        failures: dict[str, SovbrokerError] = {}
        for key in wanted:
            try:
                gone.append(broker.shred(key))
            except SovbrokerError as error:
                failures[key] = error
                session.screen.fail(message_of(error), facts_of(error))
            else:
                places = ", ".join(f"{target} ({len(names)})" for target, names in gone[-1].gone.items())
                session.screen.say(f"destroyed {key}: {len(gone[-1].versions)} versions, gone from {places}")
    if session.options.json:
        session.screen.data({"destroyed": [one.to_dict() for one in gone], "failed": list(failures)})
    codes = {code_of(error) for error in failures.values()}
    if codes:
        raise typer.Exit(codes.pop() if len(codes) == 1 else Exit.FAILURE)


def pair_of(text: str) -> tuple[str, str]:
    """Read `NAME=VALUE`. Raises InvalidArgument."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidArgument(f"`--meta {text}` is not `NAME=VALUE`; write it as `--meta author=me`")
    return name, value


@contextmanager
def source_of(file: str) -> Generator[tuple[BinaryIO, int | None]]:
    """Open what `put` reads, and tell its size where there is one. Raises InvalidArgument when it cannot be read."""
    if file == STANDARD_INPUT:
        yield standard_input(), None
        return
    path = Path(file)
    try:
        opened = path.open("rb")
    except OSError as error:
        raise InvalidArgument(f"cannot read `{file}`: {error.strerror}; name a file, or `-`") from error
    with opened:
        yield opened, path.stat().st_size if path.is_file() else None


def tell(session: Session, stored: Stored) -> None:
    """Print what was stored."""
    if session.options.json:
        session.screen.data(stored.to_dict())
        return
    copies = ", ".join(str(copy) for copy in stored.copies)
    session.screen.say(f"{stored.key}  {size_text(stored.size)}  {stored.label}  {copies}")
