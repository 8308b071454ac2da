"""The commands on machines: launch, explain, list, start, stop, reboot, destroy, sizes, images, audit, reap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sovbroker.cli import sshkeys, volumes
from sovbroker.cli.failures import Exit
from sovbroker.cli.session import Session, command
from sovbroker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sovbroker.compute import Audit, Node

__all__ = ["app"]

app = typer.Typer()
app.add_typer(volumes.app, name="volumes", help="Disks that outlive machines.")
app.add_typer(sshkeys.app, name="keys", help="Public keys that were imported for machines.")

VIOLATION: Final = 2
"""What `audit` exits with for a violation of the policy; 1 where it could not see everything."""

NAME: Final = typer.Argument(metavar="NAME", help="What the machine is called: 1 to 63 of a-z, 0-9, `.`, `/` and `-`.")
LABEL: Final[Any] = typer.Option("--label", metavar="LABEL", help="The least label of what it works on.")
IMAGE: Final[Any] = typer.Option("--image", metavar="IMAGE", help="An image by name, or `id:ID`.")
CPUS: Final[Any] = typer.Option("--cpus", min=1, help="Processors, at least.")
MEMORY: Final[Any] = typer.Option("--memory", metavar="AMOUNT", help="Memory, at least: `4GiB`.")
GPUS: Final[Any] = typer.Option("--gpus", min=0, help="GPUs, at least.")
ARCH: Final[Any] = typer.Option("--arch", help="The architecture.")
ATTESTED: Final[Any] = typer.Option("--attested", metavar="KIND", help="Confidential computing: sev-snp, tdx; one of.")
NEAR: Final[Any] = typer.Option("--near", metavar="KEY", help="The object it works on, or the beginning of keys.")
AT: Final[Any] = typer.Option("--at", metavar="PLACE", help="Only there. May be given several times.")


@command(app, "launch")
def launch(
    session: Session,
    name: Annotated[str, NAME],
    *,
    label: Annotated[str | None, LABEL] = None,
    image: Annotated[str, IMAGE] = "debian-12",
    cpus: Annotated[int, CPUS] = 1,
    memory: Annotated[str, MEMORY] = "1GiB",
    gpus: Annotated[int, GPUS] = 0,
    arch: Annotated[str, ARCH] = "x86_64",
    attested: Annotated[list[str] | None, ATTESTED] = None,
    near: Annotated[str, NEAR] = "",
    at: Annotated[list[str] | None, AT] = None,
    ttl: Annotated[str | None, typer.Option("--ttl", metavar="TIME", help="How long it lives: `8h`.")] = None,
    user_data: Annotated[
        Path | None, typer.Option("--user-data", metavar="FILE", help="A script that it runs first.")
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="NAME=FILE", help="A secret for it, from a private file. Several times."),
    ] = None,
    ssh_key: Annotated[Path | None, typer.Option("--ssh-key", metavar="FILE", help="A public key.")] = None,
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it.")] = "",
) -> None:
    """Launch a machine where the policy lets its data be in the clear. The same again is the same machine."""
    script = b"" if user_data is None else _content(user_data)
    public = None if ssh_key is None else _content(ssh_key).decode(errors="replace")
    with session.broker() as broker:
        node = broker.compute.launch(
            name,
            label=label,
            image=image,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            arch=arch,
            attested=attested or (),
            near=near,
            at=at or (),
            ttl=ttl,
            user_data=script,
            secrets=_secrets(secret or []),
            ssh_key=public,
            owner=owner,
        )
    text = f"`{node.name}` is {node.state} at {node.target}: {node.size}, labelled {node.label}"
    _tell(
        session,
        node,
        "\n".join([text, *(f"  not at {place}, which had no room: {why}" for place, why in node.passed.items())]),
    )


@command(app, "explain")
def explain(
    session: Session,
    name: Annotated[str, NAME],
    *,
    label: Annotated[str | None, LABEL] = None,
    image: Annotated[str, IMAGE] = "debian-12",
    cpus: Annotated[int, CPUS] = 1,
    memory: Annotated[str, MEMORY] = "1GiB",
    gpus: Annotated[int, GPUS] = 0,
    arch: Annotated[str, ARCH] = "x86_64",
    attested: Annotated[list[str] | None, ATTESTED] = None,
    near: Annotated[str, NEAR] = "",
    at: Annotated[list[str] | None, AT] = None,
) -> None:
    """Say where a machine would be launched, and why at no other place. Exits with 3 where it would be at none."""
    with session.broker() as broker:
        plan = broker.compute.explain(
            name,
            label=label,
            image=image,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            arch=arch,
            attested=attested or (),
            near=near,
            at=at or (),
        )
    if session.options.json:
        session.screen.data(plan.to_dict())
    else:
        session.screen.say(str(plan))
    if not plan.allowed:
        raise typer.Exit(Exit.REFUSED)


@command(app, "list")
def list_machines(session: Session) -> None:
    """List our machines, and what they are doing."""
    with session.broker() as broker:
        nodes = broker.compute.list()
    if session.options.json:
        session.screen.data([node.to_dict() for node in nodes])
        return
    rows = [(n.name, n.target, n.state, n.label, n.size, _until(n), n.owner or "-") for n in nodes]
    session.screen.table(("name", "place", "state", "label", "size", "until", "owner"), rows)


@command(app, "get")
def get(session: Session, name: Annotated[str, NAME]) -> None:
    """Tell of one machine."""
    with session.broker() as broker:
        node = broker.compute.get(name)
    if session.options.json:
        session.screen.data(node.to_dict())
        return
    facts = node.to_dict()
    facts |= {"addresses": ", ".join(node.addresses)}
    facts |= {"passed": "; ".join(f"{place}, which had no room: {why}" for place, why in node.passed.items())}
    session.screen.table(
        ("", ""),
        [(key, str(value)) for key, value in facts.items() if value not in {None, ""}],
        header=False,
    )


@command(app, "start")
def start(session: Session, name: Annotated[str, NAME]) -> None:
    """Start a stopped machine, where the policy still allows it there."""
    with session.broker() as broker:
        node = broker.compute.start(name)
    _tell(session, node, f"`{name}` is {node.state}")


@command(app, "stop")
def stop(session: Session, name: Annotated[str, NAME]) -> None:
    """Stop a machine, which keeps its disk."""
    with session.broker() as broker:
        node = broker.compute.stop(name)
    _tell(session, node, f"`{name}` is {node.state}")


@command(app, "reboot")
def reboot(session: Session, name: Annotated[str, NAME]) -> None:
    """Start a running machine anew, where the policy still allows it there."""
    with session.broker() as broker:
        node = broker.compute.reboot(name)
    _tell(session, node, f"`{name}` is {node.state}")


@command(app, "destroy")
def destroy(session: Session, name: Annotated[str, NAME]) -> None:
    """Destroy a machine, its own disk, and the key that was imported for it. Its volumes stay."""
    with session.broker() as broker:
        broker.compute.destroy(name)
    if session.options.json:
        session.screen.data({"destroyed": name})
    else:
        session.screen.say(f"`{name}` is destroyed")


@command(app, "sizes")
def sizes(session: Session, place: Annotated[str, typer.Argument(metavar="PLACE")]) -> None:
    """List the sizes of a place."""
    with session.broker() as broker:
        found = broker.compute.sizes(place)
    if session.options.json:
        session.screen.data(
            [
                {
                    "id": one.id,
                    "name": one.name or one.id,
                    "cpus": one.cpus,
                    "memory": one.memory,
                    "gpus": one.gpus,
                    "arch": one.arch,
                    "price": None if one.price is None else str(one.price),
                    "priced": None if one.priced is None else one.priced.isoformat(),
                    "attested": list(one.attested),
                }
                for one in found
            ]
        )
        return
    rows = [
        (
            one.name or one.id,
            str(one.cpus),
            f"{one.memory / (1 << 30):g}",
            str(one.gpus),
            one.arch,
            "-" if one.price is None else str(one.price),
            "-" if one.priced is None else one.priced.isoformat(),
            ", ".join(one.attested) or "-",
        )
        for one in found
    ]
    session.screen.table(("size", "cpus", "memory, GiB", "gpus", "arch", "EUR/h", "list of", "attested"), rows)


@command(app, "images")
def images(
    session: Session,
    place: Annotated[str, typer.Argument(metavar="PLACE")],
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Of names; `*` for any characters.")],
    *,
    owner: Annotated[str, typer.Option("--owner", help="Whose images; anybody publishes some.")] = "",
) -> None:
    """List the images of an owner at a place."""
    with session.broker() as broker:
        found = broker.compute.images(place, pattern, owner=owner)
    if session.options.json:
        session.screen.data([{"id": one.id, "name": one.name, "owner": one.owner, "arch": one.arch} for one in found])
        return
    session.screen.table(("id", "name", "owner", "arch"), [(one.id, one.name, one.owner, one.arch) for one in found])


@command(app, "audit")
def audit(
    session: Session,
    *,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page as well.")] = None,
) -> None:
    """Compare every machine at every place with the policy. Exits with 2 for a violation, 1 where it could not see."""
    with session.broker() as broker:
        found = broker.compute.audit()
    if html is not None:
        from sovbroker.compute.page import audit_page  # noqa: PLC0415  # `--help` must not wait for it

        html.write_text(audit_page(found), encoding="utf-8")
    if session.options.json:
        session.screen.data(found.to_dict())
    else:
        print_audit(session, found)
    if found.violations:
        raise typer.Exit(VIOLATION)
    if found.blind:
        raise typer.Exit(Exit.FAILURE)


@command(app, "reap")
def reap(
    session: Session,
    *,
    strays: Annotated[bool, typer.Option("--strays", help="Also machines of ours that nothing is known of.")] = False,
) -> None:
    """Destroy machines whose time is over, and what launches that were cut short left behind."""
    with session.broker() as broker:
        done = broker.compute.reap(strays=strays)
    if session.options.json:
        session.screen.data(
            {
                "expired": list(done.expired),
                "unfinished": list(done.unfinished),
                "strays": [{"target": one.target, "id": one.machine.id} for one in done.strays],
                "failures": done.failures,
            }
        )
    else:
        for what, names in (("its time was over", done.expired), ("its launch was cut short", done.unfinished)):
            for name in names:
                session.screen.say(f"`{name}` is destroyed: {what}")
        for stray in done.strays:
            what = "is destroyed" if strays else "is of this installation; `--strays` destroys it"
            session.screen.say(f"`{stray.machine.id}` at {stray.target}, of which nothing is known, {what}")
        for name, why in done.failures.items():
            session.screen.warn(f"`{name}`: {why}")
    if done.failures:
        raise typer.Exit(Exit.FAILURE)


def print_audit(session: Session, found: Audit) -> None:
    """Print an audit for people: what is wrong, then what was seen."""
    wrong = [one for one in found.machines if one.standing.value != "fine"]
    if wrong:
        rows = [(one.standing, one.name, one.target, one.label, one.why) for one in wrong]
        session.screen.table(("standing", "name", "place", "label", "why"), rows)
        session.screen.say("")
    places = [
        (one.target, str(one.machines), f"blind: {one.blind}" if one.blind else one.proof) for one in found.places
    ]
    session.screen.table(("place", "machines", "seen by"), places)
    session.screen.say("")
    if found.clean:
        session.screen.say(f"{counted(len(found.machines), 'machine')}, every one where it may be")
    if found.violations:
        session.screen.say(f"{counted(len(found.violations), 'machine')} where the policy does not allow it")
    if found.blind:
        session.screen.say(f"{counted(len(found.blind), 'place')} blind: nothing shows that what is listed is all")


def counted(count: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _until(node: Node) -> str:
    return "-" if node.expires is None else f"{node.expires:%Y-%m-%d %H:%M}"


def _tell(session: Session, node: Node, text: str) -> None:
    if session.options.json:
        session.screen.data(node.to_dict())
    else:
        session.screen.say(text)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read `{file}`: {error.strerror}") from error


def _secrets(given: list[str]) -> Mapping[str, str]:
    from sovbroker.secrets import SecretSource  # noqa: PLC0415  # as above

    found: dict[str, str] = {}
    for one in given:
        name, equals, file = one.partition("=")
        if not equals or not name or not file:
            raise ConfigError(f"`--secret {name}` does not say where the secret is; write NAME=FILE, a private file")
        found[name] = SecretSource(file=Path(file)).resolve()
    return found
