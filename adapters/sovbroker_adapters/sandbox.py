"""Compute on this machine: each machine is a sandbox of bubblewrap, in a folder of its own.

A launch's script runs for real, as it would at a provider's, in namespaces of its own: it sees the system's programs,
its own disk as `/machine` and its volumes below `/mnt`, and nothing else. It lives on when this process ends. A machine
is one folder, and is there from the moment that its facts are. With `isolation: none` it is a plain process, which sees
all of this machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sovbroker.errors import ConfigError, InvalidArgument, NotFound, NotSupported, StoreError, Unavailable
from sovbroker.machines import (
    NO_TAGS,
    ComputeFeature,
    ComputeProvider,
    Image,
    ImageSource,
    Launch,
    Machine,
    MachineState,
    Size,
    Visibility,
    Volume,
)
from sovbroker.ports import Binding, Support
from sovbroker_adapters.absent import WithoutKeys
from sovbroker_adapters.settings import Reading

__all__ = ["Sandboxes", "build"]

GIB: Final = 1 << 30
HOST: Final = "host"
SIZES: Final = (
    Size("small", 1, GIB // 2, price=Decimal(0)),
    Size("medium", 2, 2 * GIB, price=Decimal(0)),
    Size("large", 4, 8 * GIB, price=Decimal(0)),
    Size("xlarge", 16, 64 * GIB, price=Decimal(0)),
)
CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(
    {
        ComputeFeature.IDEMPOTENT_LAUNCH: Support.NATIVE,
        ComputeFeature.STOP: Support.EMULATED,
        ComputeFeature.REBOOT: Support.EMULATED,
        ComputeFeature.TAGS: Support.NATIVE,
        ComputeFeature.USER_DATA: Support.NATIVE,
        ComputeFeature.KEYS: Support.ABSENT,
        ComputeFeature.VOLUMES: Support.EMULATED,
    }
)
VOLUME: Final = re.compile(r"v-[0-9a-f]{16}")
ID: Final = re.compile(r"[A-Za-z0-9-]{1,40}")
FACTS: Final = "machine.json"
GATE: Final = (
    'read -r go; test -e "$0/machine.json" && read -r pid rest <"$0/process" && test "$pid" = $$ || exit 1; '
    'exec "$@" </dev/null'
)
BOOT: Final = 'sh "$HOME/.user-data" >"$HOME/.log" 2>&1 </dev/null; echo $? >"$HOME/.exit"; exec sleep infinity'
DISK: Final = "/machine"
"""Where a machine in a sandbox has its own disk."""

SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
NETWORKED: Final = ("/etc/ssl", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")
STOPPED_WITHIN: Final = 5.0


def build(binding: Binding) -> ComputeProvider:
    """Open the sandboxes of a folder: an entry point of `sovbroker.compute`. Raises ConfigError."""
    reading = Reading(binding)
    reading.check_names(("network", "isolation", "create"))
    folder = Path(binding.container)
    network = reading.choice("network", ("none", "host")) == "host"
    if reading.switch("create"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not folder.is_dir():
        raise ConfigError(f"{binding.target}: the folder of machines `{folder}` does not exist; make it")
    isolated = reading.choice("isolation", ("bubblewrap", "none")) == "bubblewrap"
    if isolated and shutil.which("bwrap") is None:
        raise ConfigError(
            f"{binding.target}: there is no `bwrap`, so a machine would see all of this one; install bubblewrap, or "
            "say `isolation: none`"
        )
    return Sandboxes(binding.target, folder, network=network, isolated=isolated)


class Sandboxes(WithoutKeys):
    """The sandboxes in a folder. Several processes may share it."""

    def __init__(self, target: str, folder: Path, *, network: bool, isolated: bool) -> None:
        self._target = target
        self._folder = folder
        self._network = network
        self._isolated = isolated
        for name in ("machines", "volumes"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)

    @property
    def target(self) -> str:
        """See `ComputeProvider.target`."""
        return self._target

    @property
    def capabilities(self) -> Mapping[ComputeFeature, Support]:
        """See `ComputeProvider.capabilities`."""
        return CAPABILITIES

    def sizes(self) -> Sequence[Size]:
        """See `ComputeProvider.sizes`: those that this machine is large enough for."""
        cpus = os.cpu_count() or 1
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        arch = _arch()
        return [
            Size(size.id, size.cpus, size.memory, arch=arch, price=size.price)
            for size in SIZES
            if size is SIZES[0] or (size.cpus <= cpus and size.memory <= memory)
        ]

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`: this machine's system, by its name and as `host`."""
        pattern = re.compile(re.escape(source.pattern).replace(r"\*", ".*"))
        own = Image(HOST, _system(), owner="root", arch=_arch())
        named = any(pattern.fullmatch(name) for name in (own.id, own.name))
        return [own] if named and source.owner in {"", own.owner} else []

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`."""
        if ID.fullmatch(launch.token) is None:
            raise InvalidArgument(f"`{launch.token}` is no token of a launch: letters, digits and hyphens, at most 40")
        if launch.size not in {size.id for size in self.sizes()}:
            raise InvalidArgument(f"{self._target}: there is no size `{launch.size}`; see `sizes`")
        if launch.image != HOST:
            raise InvalidArgument(f"{self._target}: there is no image `{launch.image}`; there is `{HOST}`")
        if launch.key is not None:
            self.lacks(ComputeFeature.KEYS)
        if launch.attested is not None:
            raise NotSupported(f"no sandbox proves `{launch.attested}`", target=self._target)
        place = self._folder / "machines" / launch.token
        with self._locked():
            if not (place / FACTS).exists():
                self._make(place, launch)
                with self._running(place, launch.size):
                    (place / f".{FACTS}").rename(place / FACTS)
        return self._told(place)

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`."""
        return [self._told(place) for place in self._places()]

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        return self._told(self._place(machine))

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`. The script runs again: what it did is on its disk."""
        with self._locked():
            place = self._place(machine)
            if _alive(place) is None:
                with self._running(place, str(_facts(place)["size"])):
                    pass

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`."""
        with self._locked():
            _end(self._place(machine))

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`."""
        with self._locked():
            place = self._place(machine)
            if _alive(place) is None:
                raise InvalidArgument(f"{self._target}: the machine `{machine}` does not run; start it")
            _end(place)
            with self._running(place, str(_facts(place)["size"])):
                pass

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`. Its volumes stay."""
        with self._locked():
            try:
                place = self._place(machine)
            except NotFound:
                return
            _end(place)
            for volume in self._held(place):
                volume.rename(self._folder / "volumes" / volume.name)
            # First it is no machine any more, then it is not there.
            (place / FACTS).unlink()
            shutil.rmtree(place)

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`."""
        held = [volume for own in self._places() for volume in self._held(own)]
        free = [one for one in sorted((self._folder / "volumes").iterdir()) if one.is_dir()]
        return [self._volume(place) for place in (*free, *held)]

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`. A folder, whose size nobody holds to."""
        place = self._folder / "volumes" / f"v-{os.urandom(8).hex()}"
        self._told_of(place).write_text(json.dumps({"name": name, "size": size, "tags": dict(tags)}))
        place.mkdir(mode=0o700)
        return self._volume(place)

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`: the machine has it as `/mnt/VOLUME`, at once."""
        with self._locked():
            place, own = self._place(machine), self._found(volume)
            if own.parent == place / "mnt":
                return
            if own.parent.name == "mnt":
                raise InvalidArgument(f"{self._target}: the volume `{volume}` is attached elsewhere; detach it")
            own.rename(place / "mnt" / volume)

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`."""
        with self._locked():
            self._found(volume).rename(self._folder / "volumes" / volume)

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`."""
        with self._locked():
            try:
                own = self._found(volume)
            except NotFound:
                return
            if own.parent.name == "mnt":
                raise InvalidArgument(f"{self._target}: the volume `{volume}` is in use; detach it")
            shutil.rmtree(own)
            self._told_of(own).unlink()

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: the folder that machines lie in is itself seen."""
        seen = (self._folder / "machines").is_dir()
        return Visibility(len(self._places()) if seen else None, str(self._folder) if seen else "")

    def close(self) -> None:
        """See `ComputeProvider.close`. The machines live on."""

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Keep other processes from changing machines meanwhile."""
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise StoreError(f"the machine cannot be changed: {error}", target=self._target) from error
        finally:
            os.close(handle)

    def _places(self) -> list[Path]:
        try:
            return sorted(one.parent for one in (self._folder / "machines").glob(f"*/{FACTS}"))
        except OSError as error:
            raise Unavailable(f"the machines cannot be listed: {error}", target=self._target) from error

    def _place(self, machine: str) -> Path:
        place = self._folder / "machines" / machine
        if ID.fullmatch(machine) is None or not (place / FACTS).is_file():
            raise NotFound(f"there is no machine `{machine}`", target=self._target)
        return place

    def _found(self, volume: str) -> Path:
        if VOLUME.fullmatch(volume) is None:
            raise NotFound(f"there is no volume `{volume}`", target=self._target)
        free = self._folder / "volumes" / volume
        held = [one for own in self._places() for one in self._held(own) if one.name == volume]
        place = free if free.is_dir() else next(iter(held), None)
        if place is None:
            raise NotFound(f"there is no volume `{volume}`", target=self._target)
        return place

    def _make(self, place: Path, launch: Launch) -> None:
        """Lay out a machine's folder. It is a machine as soon as its facts have their name."""
        if place.exists():
            shutil.rmtree(place)
        for part in (place, place / "disk", place / "mnt"):
            part.mkdir(mode=0o700)
        (place / "disk" / ".user-data").write_bytes(launch.user_data)
        facts = {
            "name": launch.name,
            "size": launch.size,
            "image": launch.image,
            "created": datetime.now(UTC).isoformat(),
            "tags": dict(launch.tags),
        }
        new = place / f".{FACTS}"
        with new.open("w") as file:
            json.dump(facts, file)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _running(self, place: Path, size: str) -> Generator[None]:
        """Start a machine's processes, apart from ours, and let them go on after the block.

        They wait until they are noted and their machine is there, or we are not; then they go on if both is so.
        """
        (place / "process").unlink(missing_ok=True)
        memory = next(one.memory for one in SIZES if one.id == size)
        argv = ["sh", "-c", GATE, str(place), *_limits(memory), *self._sandbox(place), "sh", "-c", BOOT]
        waiting, gate = os.pipe()
        nowhere = [(os.POSIX_SPAWN_OPEN, end, os.devnull, os.O_RDWR, 0) for end in (1, 2)]
        clean = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": DISK if self._isolated else str(place / "disk"),
            "LANG": "C.UTF-8",
        }
        try:
            actions = [(os.POSIX_SPAWN_DUP2, waiting, 0), *nowhere]
            pid = os.posix_spawnp(argv[0], argv, clean, file_actions=actions, setsid=True)
            (place / "process").write_text(f"{pid} {_began(pid)}\n")
            yield
        except OSError as error:
            raise StoreError(f"the machine cannot be started: {error}", target=self._target) from error
        finally:
            os.close(waiting)
            os.close(gate)

    def _sandbox(self, place: Path) -> list[str]:
        if not self._isolated:
            return []
        argv = ["bwrap", "--unshare-all", "--hostname", place.name, "--proc", "/proc", "--dev", "/dev"]
        argv += ["--tmpfs", "/tmp", "--tmpfs", "/run", "--chdir", "/"]  # noqa: S108 - the sandbox's own
        for folder in SYSTEM:
            link = Path(folder)
            if link.is_symlink():
                argv += ["--symlink", str(link.readlink()), folder]
            elif link.is_dir():
                argv += ["--ro-bind", folder, folder]
        if self._network:
            argv += ["--share-net", *(part for name in NETWORKED for part in ("--ro-bind-try", name, name))]
        return [*argv, "--bind", str(place / "disk"), DISK, "--bind", str(place / "mnt"), "/mnt"]

    def _told(self, place: Path) -> Machine:
        try:
            found = _facts(place)
        except (OSError, ValueError) as error:
            raise NotFound(f"there is no machine `{place.name}`", target=self._target) from error
        return Machine(
            id=place.name,
            name=str(found["name"]),
            state=MachineState.STOPPED if _alive(place) is None else MachineState.RUNNING,
            size=str(found["size"]),
            image=str(found["image"]),
            created=datetime.fromisoformat(found["created"]),
            tags=dict(found["tags"]),
        )

    def _told_of(self, volume: Path) -> Path:
        """Return the file that tells of a volume: out of the machine's sight, wherever the volume is."""
        return self._folder / "volumes" / f"{volume.name}.json"

    def _held(self, place: Path) -> list[Path]:
        """Return the volumes of a machine. What else lies beside them the machine has made itself."""
        return [
            one
            for one in sorted((place / "mnt").iterdir())
            if VOLUME.fullmatch(one.name) and one.is_dir() and not one.is_symlink() and self._told_of(one).is_file()
        ]

    def _volume(self, place: Path) -> Volume:
        found: Mapping[str, Any] = json.loads(self._told_of(place).read_text())
        held = place.parent.parent.name if place.parent.name == "mnt" else None
        return Volume(place.name, str(found["name"]), int(found["size"]), held, dict(found["tags"]))


def _facts(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / FACTS).read_text())
    return found


def _limits(memory: int) -> list[str]:
    """Return what limits a machine to its memory, where there is something that does."""
    return ["prlimit", f"--as={memory}", "--core=0"] if shutil.which("prlimit") else []


def _arch() -> str:
    """Return this machine's architecture, in the words of sizes and images."""
    found = os.uname().machine
    return {"aarch64": "arm64"}.get(found, found)


def _system() -> str:
    """Return the name of this machine's system as images are called, such as `debian-12`."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return HOST
    told = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    return "-".join(filter(None, (told.get("ID", HOST), told.get("VERSION_ID", ""))))


def _began(pid: int) -> str:
    """Return when a process began, in the system's ticks; "" when it does not run (any more)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _alive(place: Path) -> int | None:
    """Return the process of a machine that runs. A number that another process has by now is not it."""
    try:
        pid, began = (place / "process").read_text().split()
    except (OSError, ValueError):
        return None
    if _began(int(pid)) == began:
        return int(pid)
    with suppress(ChildProcessError):
        os.waitpid(int(pid), os.WNOHANG)
    return None


def _end(place: Path) -> None:
    """End a machine's processes, and wait until they have ended."""
    pid = _alive(place)
    if pid is None:
        return
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    end = time.monotonic() + STOPPED_WITHIN
    while _alive(place) is not None and time.monotonic() < end:
        time.sleep(0.002)
    if _alive(place) is not None:
        raise Unavailable(f"the machine `{place.name}` does not end", target=place.name)
