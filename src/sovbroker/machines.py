"""The contract that adapters for compute fulfil, and what it speaks of: machines, sizes, images, volumes.

What each method promises is asserted by `sovbroker.testing.conformance.ComputeSuite`: a declared feature by its
behaviour, an undeclared one by `NotSupported`. Two promises hold for every method. A failure is an error of
`sovbroker.errors` with the SDK's exception as its `__cause__`: what a provider calls an error is never a return value,
and an answer that holds nothing is never taken for "there is nothing" when it is no whole answer. And a call that
changes something is not repeated here, unless the provider knows it again by its token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

from sovbroker.ports import Binding, Support

__all__ = [
    "ComputeAdapter",
    "ComputeFeature",
    "ComputeProvider",
    "Image",
    "ImageSource",
    "Launch",
    "Machine",
    "MachineState",
    "PublicKey",
    "SecretBox",
    "SecretTicket",
    "Size",
    "Visibility",
    "Volume",
]

NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})


class ComputeFeature(StrEnum):
    """What a provider may offer beyond launching, listing and destroying machines."""

    IDEMPOTENT_LAUNCH = "idempotent-launch"
    """A launch with a token that was used before makes no second machine, and returns the first one.

    Emulated: it takes several steps. One that was cut short leaves a machine with its tags that has not run; the same
    launch finds it and goes on. Two at the same time may make two.
    """
    STOP = "stop"
    """A machine can be stopped, keeps its disk, and can be started again."""
    REBOOT = "reboot"
    TAGS = "tags"
    """Machines carry texts by name, and are listed with them."""
    USER_DATA = "user-data"
    """A script of the caller's runs when the machine first starts."""
    KEYS = "keys"
    """Public keys can be imported, and let their owners in."""
    VOLUMES = "volumes"


class MachineState(StrEnum):
    """What a machine is doing. `GONE`: it is destroyed, or being destroyed, and does not come back."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    GONE = "gone"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Size:
    """A kind of machine. `memory` is in bytes, `disk` in bytes (0: none of its own), `price` in euro per hour.

    `name` is what people call it, where that is not its id. `price` is None where nobody tells it, which ranks last;
    `priced` is the day of the price list that it is from, None where the provider itself tells it. `attested` are the
    kinds of confidential computing that it can prove (`sev-snp`, `tdx`), () where nothing is known.
    """

    id: str
    cpus: int
    memory: int
    disk: int = 0
    gpus: int = 0
    arch: str = "x86_64"
    price: Decimal | None = None
    attested: tuple[str, ...] = ()
    name: str = ""
    priced: date | None = None


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where a provider has an image that people call by a name: the account that owns it, and a pattern of its names.

    `owner` is never left out where anybody may publish images: somebody else's image of that name is somebody else's
    machine. `pattern` has `*` for any characters.
    """

    owner: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image at a provider. `created` None: the provider does not tell."""

    id: str
    name: str
    owner: str = ""
    arch: str = "x86_64"
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that a provider lets in: its name there, and the id by which a launch names it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that a provider is told of a machine to be.

    `token` names the launch: at most 36 letters, digits and hyphens, the same when it is tried again. `key` is the id
    of an imported public key. `user_data` is a script, at most 16 KiB. `attested` is the kind of confidential
    computing, one of the size's, that the machine is started with: none does so by itself. It is started so, or it is
    not there; NotSupported where a provider cannot be asked for it.
    """

    token: str
    name: str
    size: str
    image: str
    user_data: bytes = field(default=b"", repr=False)
    key: str | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    attested: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, as its provider tells of it. `addresses` are those that it answers at."""

    id: str
    name: str
    state: MachineState
    size: str = ""
    image: str = ""
    created: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    """A disk that outlives machines. `size` is in bytes; `machine` is the id of the one that it is attached to."""

    id: str
    name: str
    size: int
    machine: str | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)


@dataclass(frozen=True, slots=True)
class Visibility:
    """What shows that `machines` sees the machines that are there.

    `count` is how many there are by another call of the provider, None where it has none. `canary` names something that
    every account has and that was seen in the same way, "" where nothing was: where it is missing, an empty list shows
    that nothing was seen, not that nothing is there.
    """

    count: int | None = None
    canary: str = ""


class ComputeProvider(Protocol):
    """The machines of one account in one region of a provider. May be used by several threads at once."""

    @property
    def target(self) -> str:
        """The id of the target, as errors name it."""
        ...

    @property
    def capabilities(self) -> Mapping[ComputeFeature, Support]:
        """Every feature with how it is offered."""
        ...

    def sizes(self) -> Sequence[Size]:
        """Return the kinds of machines that can be launched."""
        ...

    def images(self, source: ImageSource) -> Sequence[Image]:
        """Return the images that an owner has under names of a pattern, and nobody else's."""
        ...

    def launch(self, launch: Launch) -> Machine:
        """Make a machine. It has its tags when this returns, or it is not there.

        With `IDEMPOTENT_LAUNCH`, a token that was used before returns its machine. Raises InvalidArgument for a size or
        an image that is not there, Unavailable where it may have been made all the same. Raises NoCapacity where the
        provider says that it has no room or that a quota is full, and it is sure that this call has left nothing and
        will leave nothing: what it had made was destroyed and seen gone, and no earlier attempt of it got no answer.
        """
        ...

    def machines(self) -> Sequence[Machine]:
        """Return every machine of the account in the region, whoever made it, save those that are gone."""
        ...

    def machine(self, machine: str) -> Machine:
        """Return one machine by its id. Raises NotFound for one that is not there, or gone."""
        ...

    def start(self, machine: str) -> None:
        """Start a machine; one that runs already stays as it is. Raises NotFound."""
        ...

    def stop(self, machine: str) -> None:
        """Stop a machine, which keeps its disk; one that is stopped stays as it is. Raises NotFound."""
        ...

    def reboot(self, machine: str) -> None:
        """Start a running machine anew. Raises NotFound, and InvalidArgument for one that does not run."""
        ...

    def destroy(self, machine: str) -> None:
        """Destroy a machine and its own disk. What is not there is destroyed; what the provider refuses raises."""
        ...

    def import_key(self, name: str, public: str) -> PublicKey:
        """Import the public half of a key pair, in OpenSSH's form. One of that name that is there is replaced."""
        ...

    def public_keys(self) -> Sequence[PublicKey]:
        """Return the imported public keys."""
        ...

    def delete_key(self, key: str) -> None:
        """Remove a public key by its id. Removing what is not there succeeds."""
        ...

    def volumes(self) -> Sequence[Volume]:
        """Return every volume of the account in the region."""
        ...

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """Make a volume of at least `size` bytes."""
        ...

    def attach(self, volume: str, machine: str) -> None:
        """Attach a volume to a machine. Raises NotFound, and InvalidArgument where it is attached elsewhere."""
        ...

    def detach(self, volume: str) -> None:
        """Take a volume from its machine; one that is attached to none stays as it is. Raises NotFound."""
        ...

    def destroy_volume(self, volume: str) -> None:
        """Destroy a volume. What is not there is destroyed; one that is attached raises InvalidArgument."""
        ...

    def visibility(self) -> Visibility:
        """Return what shows that `machines` sees what is there. Never a guess."""
        ...

    def close(self) -> None:
        """Give connections back. May be called twice."""
        ...


class ComputeAdapter(Protocol):
    """What an entry point of the group `sovbroker.compute` names: a function that opens a provider's compute.

    It imports its SDK when called, and raises ConfigError that names the missing extra where it cannot. It makes no
    request. The binding's container is the account, project or resource group; "" where the credentials tell it.
    """

    def __call__(self, binding: Binding, /) -> ComputeProvider:
        """Open the compute of `binding`."""
        ...


@dataclass(frozen=True, slots=True)
class SecretTicket:
    """What a machine gets its secrets with: a token that is good once, and the URL that takes it. Never printed.

    A POST there with the token as `X-Vault-Token` is answered with JSON: `{"data": {"machine": …, "secrets": {…}}}`.
    """

    token: str = field(repr=False)
    url: str


class SecretBox(Protocol):
    """Keeps secrets for a machine until it asks for them, once.

    An entry point of the group `sovbroker.secret_boxes` names a function that opens one for a `Binding`.
    """

    def deposit(self, machine: str, secrets: Mapping[str, str]) -> SecretTicket:
        """Keep secrets by name for the machine of a launch; return what it asks with. Raises KeyUnavailable."""
        ...

    def close(self) -> None:
        """Give connections back. May be called twice."""
        ...
