"""The commands that look at objects: get, ls, stat, versions, explain, export."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sovbroker.cli.failures import Exit
from sovbroker.cli.output import STANDARD_OUTPUT, Sink, private_file, sink_of
from sovbroker.cli.screen import Advance, aligned, size_text, time_text, visible
from sovbroker.cli.session import Session, command
from sovbroker.errors import InvalidArgument, Tampered

if TYPE_CHECKING:
    from sovbroker.broker import Broker
    from sovbroker.objects import ObjectFile

__all__ = ["app"]

BLOCK: Final = 1 << 20
IN_ONE_REQUEST: Final = 16 << 20
"""Ranges up to this are asked for in one request; longer ones are streamed."""

RANGE: Final = re.compile(r"(\d+)-(\d*)|-(\d+)")
SIZE_COLUMN: Final = frozenset({1})

app = typer.Typer()

Key = Annotated[str, typer.Argument(metavar="KEY", help="The object.")]
Version = Annotated[
    str | None, typer.Option("--version", metavar="VERSION", help="This version [default: the current one].")
]


@command(app, "get")
def get(
    session: Session,
    *,
    key: Key,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; `-` is standard output, which is the default."),
    ] = None,
    byte_range: Annotated[
        str | None,
        typer.Option("--range", metavar="A-B", help="Bytes A to B, from 0; `A-` to the end; `-N` the last N."),
    ] = None,
    version: Version = None,
) -> None:
    """Read an object. A file appears only when all of it was authenticated."""
    with session.broker() as broker, sink_of(output, name=key.rpartition("/")[2]) as sink:
        if byte_range is not None:
            send_range(session, broker, sink, key=key, version=version, text=byte_range)
            return
        with broker.get(key, version=version) as file:
            size = file.info.size
            with session.screen.transfer(key, size) as progress:
                pump(file, sink, size=size, progress=progress)


@command(app, "ls")
def ls(
    session: Session,
    *,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="Only keys that begin with this.")] = "",
    long: Annotated[bool, typer.Option("--long", "-l", help="With time, size, label and copies.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Every key, instead of folders.")] = False,
) -> None:
    """List keys, folded at the next `/` after PREFIX. `hr/` lists the folder, `hr` every key that begins so."""
    from sovbroker.cli import listing  # noqa: PLC0415  # `--help` must not wait for the broker

    with session.broker() as broker:
        found = broker.list(prefix, delimiter=None if recursive else "/")
        if session.options.json:
            session.screen.stream(listing.facts_of(item) for item in found)
        elif long:
            listing.print_long(session.screen, found)
        else:
            for item in found:
                session.screen.key(listing.name_of(item))


@command(app, "stat")
def stat(session: Session, *, key: Key, version: Version = None) -> None:
    """Show what is known of an object. No provider is asked."""
    with session.broker() as broker:
        info = broker.stat(key, version=version)
    if session.options.json:
        session.screen.data(info.to_dict())
        return
    rows = [
        ("key", info.key),
        ("version", info.version if info.current else f"{info.version} (retained)"),
        ("label", info.label),
        ("size", f"{info.size} bytes ({size_text(info.size)})"),
        ("created", time_text(info.created)),
        ("content type", info.content_type or "-"),
        *(("metadata", f"{name}={value}") for name, value in sorted(info.metadata.items())),
        *(("copy", str(copy)) for copy in info.copies),
    ]
    for line in aligned([(name, visible(value)) for name, value in rows]):
        session.screen.line(line)


@command(app, "versions")
def versions(session: Session, *, key: Key) -> None:
    """List the versions of an object that can be read, newest first."""
    with session.broker() as broker:
        found = broker.versions(key)
        if not found:
            broker.stat(key)
    if session.options.json:
        session.screen.data([info.to_dict() for info in found])
        return
    rows = [
        (time_text(info.created), str(info.size), info.version, "current" if info.current else "retained", info.label)
        for info in found
    ]
    for line in aligned(rows, right=SIZE_COLUMN):
        session.screen.line(line)


@command(app, "explain")
def explain(
    session: Session,
    *,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key, stored or not.")],
    label: Annotated[
        str | None, typer.Option("--label", metavar="LABEL", help="As if it were given this label.")
    ] = None,
    operation: Annotated[str, typer.Option("--operation", metavar="NAME", help="What would be done.")] = "put",
) -> None:
    """Tell where an object may live, and for each other target why not. Changes nothing; exits with 0 for a no, too."""
    with session.broker() as broker:
        decision = broker.explain(key, label=label, operation=operation)
    if session.options.json:
        session.screen.data(decision.to_dict())
    else:
        session.screen.say(str(decision))


@command(app, "export")
def export(
    session: Session,
    *,
    key: Key,
    ticket: Annotated[str, typer.Option("--ticket", metavar="FILE", help="A new file; `-` is standard output.")],
    version: Version = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Write everything that opens an object without this library, its key included."""
    with session.broker() as broker:
        broker.stat(key, version=version)
        if not yes:
            confirm(f"the ticket holds the key of `{key}` in the clear: whoever has it can read the object")
        text = broker.exit_ticket(key, version=version, reveal_key=True).to_json()
    if ticket == STANDARD_OUTPUT:
        session.screen.line(text)
        return
    private_file(Path(ticket), text + "\n")
    if session.options.json:
        session.screen.data({"key": key, "ticket": ticket})
    session.screen.say(f"wrote {ticket}; keep it as safe as what it opens")


def bounds_of(text: str, *, size: int) -> tuple[int, int]:
    """Read a range as HTTP spells it; return its first and last byte. Raises InvalidArgument."""
    match = RANGE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"`{text}` is not a range; write `0-99`, `100-` or `-100`")
    if match[3] is not None:
        first, last = max(0, size - int(match[3])), size - 1
    else:
        first, last = int(match[1]), min(int(match[2]) if match[2] else size - 1, size - 1)
    if first >= size or last < first or match[3] == "0":
        raise InvalidArgument(f"the range `{text}` holds no byte of an object of {size} bytes")
    return first, last


def send_range(session: Session, broker: Broker, sink: Sink, *, key: str, version: str | None, text: str) -> None:
    """Write a range: a short one from one request, a long one in bounded memory."""
    info = broker.stat(key, version=version)
    first, last = bounds_of(text, size=info.size)
    length = last - first + 1
    # The bounds were taken from this version, so it is the one to read.
    if length <= IN_ONE_REQUEST:
        sink.write(broker.read(key, range=(first, last), version=info.version))
        return
    with broker.get(key, version=info.version) as file, session.screen.transfer(key, length) as progress:
        file.seek(first)
        pump(file, sink, size=length, progress=progress)


def pump(file: ObjectFile, sink: Sink, *, size: int, progress: Advance | None) -> None:
    """Write the next `size` bytes of an object, block by block. Raises Tampered when there are fewer."""
    buffer = memoryview(bytearray(min(BLOCK, size)))
    sent = 0
    while sent < size:
        count = file.readinto(buffer[: size - sent])
        if not count:
            raise Tampered
        sink.write(buffer[:count])
        sent += count
        if progress is not None:
            progress(sent, size)


def confirm(what: str) -> None:
    """Say what is about to happen, and ask on the terminal; anything but yes ends the command.

    Raises InvalidArgument where there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise InvalidArgument(f"{what}; nobody can be asked here: to write it all the same, add `--yes`")
    sys.stderr.write(f"{visible(what)}. Write it? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise typer.Exit(Exit.FAILURE)
