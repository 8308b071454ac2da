"""The files that the demo stores. All of them are made up: no person, account or establishment in them exists."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from sovbroker.errors import ConfigError

__all__ = ["BACKUP_SIZE", "Sample", "data", "digest_of", "gather", "write_backup"]

MIB: Final = 1 << 20
BACKUP_SIZE: Final = 256 * MIB


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, the key under which it is stored, and what the caller says of it.

    `markers` are pieces of its plaintext, 9 bytes or longer, that must not be found where it is sealed; `secrets` are
    texts of its metadata, for which the same holds.
    """

    key: str
    path: Path
    size: int
    digest: str
    markers: tuple[bytes, ...]
    label: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The metadata's values, as bytes."""
        return tuple(value.encode() for value in self.metadata.values())


def data() -> Traversable:
    """Return the folder of the sample files: inside the installed package, else in the checkout.

    Raises ConfigError when neither has it.
    """
    installed = files("sovbroker.demo") / "data"
    checkout = Path(__file__).resolve().parents[3] / "examples" / "data"
    for folder in (installed, checkout):
        if (folder / "policy.yaml").is_file():
            return folder
    raise ConfigError("the demo's sample files are not installed; reinstall sovbroker, or run the demo in a checkout")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_backup(path: Path, *, size: int = BACKUP_SIZE) -> tuple[bytes, ...]:
    """Write a binary file of `size` bytes, the same each time, half of it compressible; return markers of it.

    Blocks of 1 MiB alternate: pseudo-random bytes, and lines of a made-up journal.
    """
    first = b""
    with path.open("wb") as file:
        for number in range(-(-size // MIB)):
            left = min(MIB, size - number * MIB)
            block = _journal(number) if number % 2 else random.Random(number).randbytes(left)  # noqa: S311  # a file to copy, not a key
            first = first or block
            file.write(block[:left])
    return (first[4096:4128], first[-64:-32], b"journal de synthese, bloc 000001")


def _journal(number: int) -> bytes:
    line = f"journal de synthese, bloc {number:06d}: rien a signaler, tout va bien au service de garde\n".encode()
    return line * (MIB // len(line) + 1)


def gather(folder: Path, *, backup_size: int = BACKUP_SIZE) -> tuple[Sample, ...]:
    """Copy the sample files to `folder`, make the backup there, and return them all."""
    source = data()

    def file(name: str) -> Path:
        path = folder / name
        path.write_bytes((source / name).read_bytes())
        return path

    def sample(key: str, path: Path, *markers: bytes, metadata: Mapping[str, str] | None = None, **said: str) -> Sample:
        return Sample(
            key=key,
            path=path,
            size=path.stat().st_size,
            digest=digest_of(path),
            markers=markers,
            metadata=metadata or {},
            label=said.get("label"),
            content_type=said.get("content_type"),
        )

    payroll = file("payroll.csv")
    scan = file("scan.png")
    backup = folder / "backup.bin"
    backup_markers = write_backup(backup, size=backup_size)
    return (
        sample("presse/maternite.txt", file("press-release.txt"), content_type="text/plain; charset=utf-8"),
        sample("archives/registre-1912.png", scan, scan.read_bytes()[600:632], content_type="image/png"),
        sample(
            "rh/paie-2026-11.csv",
            payroll,
            # Every account number begins with the same made-up bank; of the social security numbers, three are enough.
            b"FR7699999",
            *(line.split(b";")[3] for line in payroll.read_bytes().splitlines()[1::5]),
            content_type="text/csv; charset=utf-8",
            metadata={"auteur": "Célestin Jolivot, gestionnaire de paie"},
        ),
        sample(
            "patients/testard-valmont.json",
            file("patient.json"),
            b"Testard-Valmont",
            b"testard-valmont",
            b"258049901484",
            "Diabète de type 2 déséquilibré".encode(),
            content_type="application/fhir+json",
            metadata={"service": "diabétologie, consultation du 18 novembre"},
        ),
        sample(
            "sauvegardes/recherche-essai-clinique.bin",
            backup,
            *backup_markers,
            b"essai-clinique",
            label="trade-secret",
            metadata={"protocole": "VALMONT-PHASE-II-2026"},
        ),
    )
