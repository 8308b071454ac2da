"""The compute half of a broker with every method awaitable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sovbroker.aio.calls import Threads
from sovbroker.compute import Audit, Compute, ComputePlace, ImportedKey, Node, Placed, Plan, Reaped
from sovbroker.machines import Image, Size

__all__ = ["AsyncCompute", "AsyncSshKeys", "AsyncVolumes"]


class AsyncCompute:
    """Machines, for coroutines. See `Compute`; a call runs to its end once it has begun."""

    def __init__(self, compute: Compute, threads: Threads) -> None:
        self._compute = compute
        self._threads = threads

    @property
    def places(self) -> Mapping[str, ComputePlace]:
        """The configured places for machines, by id."""
        return self._compute.places

    @property
    def volumes(self) -> AsyncVolumes:
        """Disks that outlive machines."""
        return AsyncVolumes(self._compute, self._threads)

    @property
    def keys(self) -> AsyncSshKeys:
        """The public keys that were imported for machines."""
        return AsyncSshKeys(self._compute, self._threads)

    async def launch(
        self,
        name: str,
        *,
        label: str | None = None,
        image: str = "debian-12",
        cpus: int = 1,
        memory: str | int = "1GiB",
        gpus: int = 0,
        arch: str = "x86_64",
        attested: Sequence[str] = (),
        near: str = "",
        at: Sequence[str] = (),
        ttl: str | float | None = None,
        user_data: bytes | str = b"",
        secrets: Mapping[str, str] | None = None,
        ssh_key: str | None = None,
        owner: str = "",
    ) -> Node:
        """Launch a machine. See `Compute.launch`."""
        return await self._threads.settle(
            lambda: self._compute.launch(
                name,
                label=label,
                image=image,
                cpus=cpus,
                memory=memory,
                gpus=gpus,
                arch=arch,
                attested=attested,
                near=near,
                at=at,
                ttl=ttl,
                user_data=user_data,
                secrets=secrets,
                ssh_key=ssh_key,
                owner=owner,
            )
        )

    async def explain(
        self,
        name: str,
        *,
        label: str | None = None,
        image: str = "debian-12",
        cpus: int = 1,
        memory: str | int = "1GiB",
        gpus: int = 0,
        arch: str = "x86_64",
        attested: Sequence[str] = (),
        near: str = "",
        at: Sequence[str] = (),
    ) -> Plan:
        """Return where a machine would be launched. See `Compute.explain`."""
        return await self._threads.settle(
            lambda: self._compute.explain(
                name,
                label=label,
                image=image,
                cpus=cpus,
                memory=memory,
                gpus=gpus,
                arch=arch,
                attested=attested,
                near=near,
                at=at,
            )
        )

    async def list(self) -> Sequence[Node]:
        """Return our machines. See `Compute.list`."""
        return await self._threads.settle(self._compute.list)

    async def get(self, name: str) -> Node:
        """Return a machine of ours. See `Compute.get`."""
        return await self._threads.settle(lambda: self._compute.get(name))

    async def start(self, name: str) -> Node:
        """Start a stopped machine. See `Compute.start`."""
        return await self._threads.settle(lambda: self._compute.start(name))

    async def stop(self, name: str) -> Node:
        """Stop a machine. See `Compute.stop`."""
        return await self._threads.settle(lambda: self._compute.stop(name))

    async def reboot(self, name: str) -> Node:
        """Start a running machine anew. See `Compute.reboot`."""
        return await self._threads.settle(lambda: self._compute.reboot(name))

    async def destroy(self, name: str) -> None:
        """Destroy a machine. See `Compute.destroy`."""
        await self._threads.settle(lambda: self._compute.destroy(name))

    async def sizes(self, target: str) -> Sequence[Size]:
        """Return the sizes of a place. See `Compute.sizes`."""
        return await self._threads.settle(lambda: self._compute.sizes(target))

    async def images(self, target: str, pattern: str, *, owner: str = "") -> Sequence[Image]:
        """Return the images of an owner at a place. See `Compute.images`."""
        return await self._threads.settle(lambda: self._compute.images(target, pattern, owner=owner))

    async def audit(self) -> Audit:
        """Compare every machine at every place with the policy. See `Compute.audit`."""
        return await self._threads.settle(self._compute.audit)

    async def reap(self, *, strays: bool = False) -> Reaped:
        """Destroy what is over. See `Compute.reap`."""
        return await self._threads.settle(lambda: self._compute.reap(strays=strays))


class AsyncVolumes:
    """Volumes, for coroutines. See `Volumes`."""

    def __init__(self, compute: Compute, threads: Threads) -> None:
        self._compute = compute
        self._threads = threads

    async def create(self, name: str, *, machine: str, size: str | int) -> Placed:
        """Make a volume for a machine. See `Volumes.create`."""
        return await self._threads.settle(lambda: self._compute.volumes.create(name, machine=machine, size=size))

    async def list(self) -> Sequence[Placed]:
        """Return the volumes of this installation. See `Volumes.list`."""
        return await self._threads.settle(self._compute.volumes.list)

    async def attach(self, volume: str, *, machine: str) -> None:
        """Attach a volume to a machine. See `Volumes.attach`."""
        await self._threads.settle(lambda: self._compute.volumes.attach(volume, machine=machine))

    async def detach(self, volume: str) -> None:
        """Take a volume from its machine. See `Volumes.detach`."""
        await self._threads.settle(lambda: self._compute.volumes.detach(volume))

    async def destroy(self, volume: str) -> None:
        """Destroy a volume. See `Volumes.destroy`."""
        await self._threads.settle(lambda: self._compute.volumes.destroy(volume))


class AsyncSshKeys:
    """Public keys of machines, for coroutines. See `SshKeys`."""

    def __init__(self, compute: Compute, threads: Threads) -> None:
        self._compute = compute
        self._threads = threads

    async def list(self) -> Sequence[ImportedKey]:
        """Return the keys that were imported for machines. See `SshKeys.list`."""
        return await self._threads.settle(self._compute.keys.list)

    async def remove(self, key: str, *, at: str) -> None:
        """Remove a key that is left over. See `SshKeys.remove`."""
        await self._threads.settle(lambda: self._compute.keys.remove(key, at=at))
