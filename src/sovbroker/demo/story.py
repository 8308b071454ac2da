"""What happens in the demo, in order. A check mark is printed only after the check has passed."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import sovbroker
from sovbroker.broker import Broker
from sovbroker.demo.checks import Held, Scanner, Wrong, check_held, check_placed, check_read, check_refused
from sovbroker.demo.clouds import Cloud, check_stopped, configure, passphrase, serve
from sovbroker.demo.exit_door import SCRIPT, check_alone, open_alone
from sovbroker.demo.samples import BACKUP_SIZE, Sample, gather
from sovbroker.demo.screen import Screen
from sovbroker.errors import Refused
from sovbroker.objects import Copy, Stored
from sovbroker.writing import Progress

__all__ = ["TODAY", "tell"]

TODAY: Final = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
"""The time by which the demo's policy decides, so that it prints the same after a qualification has lapsed."""

EXPECTED: Final[Mapping[str, Sequence[Copy]]] = {
    "presse/maternite.txt": [Copy("aws/eu-west-3", "clear")],
    "archives/registre-1912.png": [Copy("ovhcloud/gra", "clear")],
    "rh/paie-2026-11.csv": [Copy("ovhcloud/gra", "sealed"), Copy("clever-cloud/par", "sealed")],
    "patients/testard-valmont.json": [
        Copy("cloud-temple/fr1", "sealed, names hidden"),
        Copy("outscale/cloudgouv-eu-west-1", "sealed, names hidden"),
    ],
    "sauvegardes/recherche-essai-clinique.bin": [
        Copy("aws/eu-west-3", "sealed, names hidden"),
        Copy("ovhcloud/gra", "sealed, names hidden"),
    ],
}
"""What the policy asks for, written down by hand, so that the demo does not believe the broker."""

PATIENT: Final = "patients/testard-valmont.json"
FORBIDDEN: Final = "entrepot/cohorte-diabete.parquet"
LARGE: Final = 16 << 20
FIRST_BYTES: Final = 16
RANGE: Final = 100
NAME: Final = 56


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the steps share."""

    screen: Screen
    folder: Path
    clouds: Mapping[str, Cloud]
    broker: Broker
    samples: Sequence[Sample]


def tell(screen: Screen, *, backup_size: int = BACKUP_SIZE) -> None:
    """Run every step. Raises Wrong at the first thing that is not so."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sovbroker-demo-")))
        clouds = stack.enter_context(serve())
        word = stack.enter_context(passphrase())
        pids = [cloud.server.pid for cloud in clouds.values()]
        screen.say(f"five S3 servers on 127.0.0.1, one per provider, processes {', '.join(map(str, pids))}")
        screen.say(f"the policy decides as of {TODAY.date()}, so that this prints the same on any day")
        samples = gather(folder, backup_size=backup_size)
        configuration = configure(folder, clouds, word=word)
        broker = stack.enter_context(sovbroker.open(configuration, clock=lambda: TODAY))
        scene = Scene(screen, folder, clouds, broker, samples)
        stored = store(scene)
        held = look(scene, stored)
        read_back(scene)
        refuse(scene)
        leave(scene, held)
    check_stopped(pids, folder)
    screen.title("Afterwards")
    screen.checked("the five servers are stopped and the temporary folder is gone")


def store(scene: Scene) -> Mapping[str, Stored]:
    """Store the files, show where each one went and why, and check that against what is expected."""
    scene.screen.title("1. Each object, its label, why, where it lies, and on which legal basis")
    stored = dict[str, Stored]()
    for sample in scene.samples:
        stored[sample.key] = _put(scene, sample)
    rows = [_row(sample, stored[sample.key]) for sample in scene.samples]
    scene.screen.table(["object", "label", "why", "targets and mode", "legal basis"], rows)
    for sample in scene.samples:
        check_placed(sample, stored[sample.key], expected=EXPECTED[sample.key])
    scene.screen.checked(f"{len(stored)} objects lie where the policy, read by hand, says that they must")
    return stored


def _put(scene: Scene, sample: Sample) -> Stored:
    def put(progress: Progress | None = None) -> Stored:
        return scene.broker.put(
            sample.key,
            sample.path,
            label=sample.label,
            metadata=sample.metadata,
            content_type=sample.content_type,
            progress=progress,
        )

    if sample.size < LARGE:
        return put()
    with scene.screen.progress(f"sealing and sending {sample.path.name}", sample.size) as advance:
        return put(advance)


def _row(sample: Sample, stored: Stored) -> Sequence[str]:
    decision = stored.decision
    why = [f"rule {rule}" for rule in decision.rules]
    if sample.label is not None:
        why.append(f"the caller says {sample.label}")
    return (
        f"{sample.key}\n{_bytes(sample.size)}",
        stored.label.replace("+", "\n+"),
        "\n".join(why),
        "\n".join(map(str, stored.copies)),
        "\n".join(decision.basis),
    )


def _bytes(size: int) -> str:
    return f"{size >> 20} MiB" if size >= LARGE else f"{size:,} bytes"


def look(scene: Scene, stored: Mapping[str, Stored]) -> Sequence[Held]:
    """Read everything that the providers hold with a bare client, show it, and check that it betrays nothing."""
    scene.screen.title("2. What each provider really holds, read with a bare S3 client")
    sealed = [s for s in scene.samples if all(copy.mode != "clear" for copy in stored[s.key].copies)]
    markers = {marker for sample in sealed for marker in (*sample.markers, *sample.secrets)}
    scanner = Scanner(markers)
    held = [item for cloud in scene.clouds.values() for item in cloud.look(scanner)]
    owners = check_held(scene.samples, stored, held)
    rows = [(item.target, _short(item.name), f"{item.size:,}", _first(item.head), _what(item, owners)) for item in held]
    scene.screen.table(["provider", "name there", "bytes", "first bytes", "which is"], rows)
    copies, volume = len(held), sum(item.size for item in held) >> 20
    scene.screen.checked(
        f"{copies} copies: the clear ones are the files; the sealed ones have an envelope's length and do not compress"
    )
    scene.screen.checked(
        f"{len(markers)} pieces of the {len(sealed)} sealed files and of their metadata were looked for "
        f"in {volume} MiB at {len(scene.clouds)} providers, raw, as hex, base64 and URL: none is there"
    )
    return held


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME - 20]}…{name[-19:]}"


def _first(head: bytes) -> str:
    piece = head[:FIRST_BYTES]
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in piece)  # noqa: PLR2004  # printable ASCII
    return f"{piece.hex(' ', 4)}\n{text}"


def _what(item: Held, owners: Mapping[str, Sample]) -> str:
    sample = owners[f"{item.target}/{item.name}"]
    return f"{sample.path.name}, {'in the clear' if item.digest == sample.digest else 'sealed'}"


def read_back(scene: Scene) -> None:
    """Read every object through the broker, whole and in part, and compare it with the file."""
    scene.screen.title("3. Everything read back through the broker")
    rows = list[Sequence[str]]()
    for sample in scene.samples:
        first = sample.size * 2 // 3
        with _no_warning():
            with scene.broker.get(sample.key) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            part = scene.broker.read(sample.key, range=(first, first + RANGE - 1))
        check_read(sample, digest, part=part, first=first)
        rows.append((sample.key, f"{sample.size:,}", digest[:16] + "…", f"{first:,} to {first + len(part) - 1:,}"))
    scene.screen.table(["object", "bytes", "SHA-256, the same", "range, the same"], rows)
    scene.screen.checked(f"{len(rows)} objects came back byte for byte, and {RANGE} bytes out of each one's middle")


class _Listener(logging.Handler):
    """Keeps what it is told."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.told = list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


@contextmanager
def _no_warning() -> Generator[None]:
    """Raise Wrong when sovbroker warned of anything: a copy that cannot be read is made up for by the next one."""
    listener, log = _Listener(logging.WARNING), logging.getLogger("sovbroker")
    log.addHandler(listener)
    try:
        yield
    finally:
        log.removeHandler(listener)
    if listener.told:
        raise Wrong(listener.told[0])


def refuse(scene: Scene) -> None:
    """Try what the policy forbids, and show why, target by target."""
    scene.screen.title("4. A refusal, with the reason of each target")
    before = sum(len(cloud.names()) for cloud in scene.clouds.values())
    try:
        scene.broker.put(FORBIDDEN, b"identifiant;hba1c\n")
    except Refused:
        decision = scene.broker.explain(FORBIDDEN)
    else:
        raise Wrong(f"`{FORBIDDEN}` was stored, and the policy forbids it")
    scene.screen.say(f"put {FORBIDDEN}, labelled {decision.label} (rule {', '.join(decision.rules)}): refused")
    scene.screen.table(["target", "why not"], [(name, "\n".join(why)) for name, why in decision.rejected.items()])
    after = sum(len(cloud.names()) for cloud in scene.clouds.values())
    check_refused(decision, targets=scene.clouds, before=before, after=after)
    scene.screen.checked("refused before anything was sent: no provider holds more than before")


def leave(scene: Scene, held: Sequence[Held]) -> None:
    """Open the patient record without sovbroker, from what a provider holds."""
    scene.screen.title("5. The exit door: the patient record opened without sovbroker")
    sample = next(sample for sample in scene.samples if sample.key == PATIENT)
    ticket = scene.broker.exit_ticket(PATIENT, reveal_key=True)
    place = ticket.places[0]
    cloud = scene.clouds[str(place["target"])]
    if all(item.name != place["name"] for item in held if item.target == cloud.target):
        raise Wrong(f"the ticket names `{place['name']}` at {cloud.target}, which holds no such object")
    scene.screen.say(f"the bare bytes at {cloud.target}, the ticket on standard input, and this script:\n")
    scene.screen.say(SCRIPT)
    check_alone(scene.folder)
    plaintext = open_alone(scene.folder, ticket=ticket.to_json(), url=cloud.link(str(place["name"])))
    if plaintext != sample.path.read_bytes():
        raise Wrong("the child opened something, but not the patient record")
    scene.screen.checked("in that process `import sovbroker` fails, as do boto3 and yaml; it has `cryptography` alone")
    scene.screen.checked(f"it opened the record: {len(plaintext):,} bytes, the same as the file")
