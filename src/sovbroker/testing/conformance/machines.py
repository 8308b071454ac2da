"""The suites that prove that an adapter keeps the promises of `sovbroker.machines.ComputeProvider`."""

# ruff: noqa: S101 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import ClassVar, Final

import pytest

from sovbroker.errors import InvalidArgument, NoCapacity, NotFound, NotSupported, SovbrokerError, Unavailable
from sovbroker.machines import ComputeFeature, ComputeProvider, Image, ImageSource, Launch, Machine, MachineState
from sovbroker.ports import waiting

__all__ = ["ComputeFaultSuite", "ComputeSuite"]

PUBLIC: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test"
OTHER: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBMlsOzsPAPNFzTUXk2UfHXAUo8YdQOtHBdH4Jxzj0bp other"
GIB: Final = 1 << 30
MANY: Final = 8
PAUSE: Final = 5.0
WAITED: Final = 0.3
ACTS: Final = (
    "machines",
    "machine",
    "sizes",
    "images",
    "launch",
    "destroy",
    "start",
    "stop",
    "reboot",
    "public_keys",
    "import_key",
    "delete_key",
    "volumes",
    "create_volume",
    "attach",
    "detach",
    "destroy_volume",
    "visibility",
)


class ComputeSuite:
    """Every promise of `ComputeProvider`.

    Needs the fixtures `compute` (open, without machines), `wanted` (a launch that the provider takes, without a key)
    and `source` (where it has the image of that launch). `absent` is an id of the provider's form that names nothing;
    `patience` is how many seconds a change may take to be seen.
    """

    absent: ClassVar[str] = "nothing"
    patience: ClassVar[float] = 10.0

    no_room: ClassVar[tuple[str, ...]] = ()
    """The ways in which the provider says that it has no room or that a quota is full, () where it is not known how."""

    @pytest.fixture
    def full(self) -> Callable[[str], AbstractContextManager[object]]:
        """Return a function of one of `no_room`: while its context lasts, the provider is full in that way."""

        def unknown(how: str) -> AbstractContextManager[object]:
            raise AssertionError(f"no fixture makes the provider full by `{how}`")

        return unknown

    def settled(self, compute: ComputeProvider, machine: str, *states: MachineState) -> Machine:
        """Return a machine as soon as it is in one of the states."""
        end = time.monotonic() + self.patience
        while (found := compute.machine(machine)).state not in states and time.monotonic() < end:
            time.sleep(0.01)
        assert found.state in states
        return found

    def gone(self, compute: ComputeProvider, machine: str) -> None:
        """Return as soon as a machine is neither listed nor found."""
        end = time.monotonic() + self.patience
        while machine in {one.id for one in compute.machines()} and time.monotonic() < end:
            time.sleep(0.01)
        assert machine not in {one.id for one in compute.machines()}
        with pytest.raises(NotFound):
            compute.machine(machine)

    @staticmethod
    def offers(compute: ComputeProvider, feature: ComputeFeature) -> bool:
        """Whether a feature is declared."""
        return compute.capabilities[feature].usable

    def test_declares_every_feature(self, compute: ComputeProvider) -> None:
        """Nothing is left open."""
        assert set(compute.capabilities) == set(ComputeFeature)

    def test_a_machine_is_launched_seen_and_destroyed(self, compute: ComputeProvider, wanted: Launch) -> None:
        """By its id and in the list, with all that it was launched with."""
        made = compute.launch(wanted)
        assert made.id
        found = self.settled(compute, made.id, MachineState.RUNNING)
        assert found.name == wanted.name
        assert (found.size, found.image) == (wanted.size, wanted.image)
        listed = {one.id: one for one in compute.machines()}
        assert listed.keys() == {made.id}
        assert listed[made.id].name == wanted.name
        if self.offers(compute, ComputeFeature.TAGS):
            for tags in (made.tags, found.tags, listed[made.id].tags):
                assert wanted.tags.items() <= tags.items()
        compute.destroy(made.id)
        self.gone(compute, made.id)
        compute.destroy(made.id)

    def test_what_is_not_there(self, compute: ComputeProvider) -> None:
        """It is destroyed already, and nothing else can be done with it."""
        compute.destroy(self.absent)
        for act in (compute.machine, compute.start, compute.stop, compute.reboot):
            with pytest.raises((NotFound, NotSupported)):
                act(self.absent)
        with pytest.raises(NotFound):
            compute.machine(self.absent)

    def test_a_token_makes_one_machine(self, compute: ComputeProvider, wanted: Launch) -> None:
        """However often it is sent, where the provider says so; other tokens make others."""
        if not self.offers(compute, ComputeFeature.IDEMPOTENT_LAUNCH):
            return
        first = compute.launch(wanted)
        again = compute.launch(wanted)
        assert again.id == first.id
        assert [one.id for one in compute.machines()] == [first.id]
        other = compute.launch(replace(wanted, token=wanted.token[:-1] + "x", name="another"))
        assert {one.id for one in compute.machines()} == {first.id, other.id}
        for made in (first, other):
            compute.destroy(made.id)

    def test_no_room_leaves_nothing(
        self, compute: ComputeProvider, wanted: Launch, full: Callable[[str], AbstractContextManager[object]]
    ) -> None:
        """It is told by an error of its own, and nothing is there, or will be: another place may have the machine."""
        for number, how in enumerate(self.no_room):
            before = self.volumes_of(compute)
            with full(how), pytest.raises(NoCapacity) as caught:
                compute.launch(replace(wanted, token=f"{wanted.token[:-2]}n{number}"))
            assert caught.value.target == compute.target
            assert compute.machines() == []
            assert self.volumes_of(compute) == before
        made = compute.launch(wanted)
        assert [one.id for one in compute.machines()] == [made.id]
        compute.destroy(made.id)

    def volumes_of(self, compute: ComputeProvider) -> set[str]:
        """Return the ids of the volumes, where there are such things."""
        return {one.id for one in compute.volumes()} if self.offers(compute, ComputeFeature.VOLUMES) else set()

    def test_stops_and_starts(self, compute: ComputeProvider, wanted: Launch) -> None:
        """A stopped machine is still there, and starts again."""
        made = compute.launch(wanted)
        self.settled(compute, made.id, MachineState.RUNNING)
        if not self.offers(compute, ComputeFeature.STOP):
            for act in (compute.stop, compute.start):
                with pytest.raises(NotSupported):
                    act(made.id)
        else:
            compute.start(made.id)
            compute.stop(made.id)
            self.settled(compute, made.id, MachineState.STOPPED)
            compute.stop(made.id)
            with pytest.raises((InvalidArgument, NotSupported)):
                compute.reboot(made.id)
            compute.start(made.id)
            self.settled(compute, made.id, MachineState.RUNNING)
        compute.destroy(made.id)

    def test_reboots(self, compute: ComputeProvider, wanted: Launch) -> None:
        """The machine runs again, and is the same one."""
        made = compute.launch(wanted)
        self.settled(compute, made.id, MachineState.RUNNING)
        if self.offers(compute, ComputeFeature.REBOOT):
            compute.reboot(made.id)
            assert self.settled(compute, made.id, MachineState.RUNNING).id == made.id
        else:
            with pytest.raises(NotSupported):
                compute.reboot(made.id)
        compute.destroy(made.id)

    def test_what_cannot_be_launched_leaves_nothing(self, compute: ComputeProvider, wanted: Launch) -> None:
        """A size or an image that the provider does not have."""
        for wrong in (replace(wanted, size="no-such-size"), replace(wanted, image=self.absent)):
            with pytest.raises((InvalidArgument, NotFound)):
                compute.launch(wrong)
        assert compute.machines() == [] or not list(compute.machines())

    def test_sizes_tell_what_they_are(self, compute: ComputeProvider, wanted: Launch) -> None:
        """Each with processors and memory, the one of the launch among them."""
        sizes = compute.sizes()
        assert wanted.size in {size.id for size in sizes}
        assert len({size.id for size in sizes}) == len(sizes)
        assert all(size.cpus >= 1 and size.memory >= 1 << 20 for size in sizes)
        assert all(size.price is None or size.price >= 0 for size in sizes)
        # A list is the broker's, whatever provider it is of.
        assert all(size.priced is None for size in sizes)

    def test_images_are_their_owners(self, compute: ComputeProvider, wanted: Launch, source: ImageSource) -> None:
        """Another owner's are not given, and neither is what the pattern does not match."""
        found = compute.images(source)
        assert wanted.image in {image.id for image in found}
        if source.owner:
            assert all(image.owner == source.owner for image in found)
            other = "0" * len(source.owner)
            assert wanted.image not in {image.id for image in self.nothing(compute, replace(source, owner=other))}
        assert not self.nothing(compute, replace(source, pattern="no-such-image-*"))

    @staticmethod
    def nothing(compute: ComputeProvider, source: ImageSource) -> Sequence[Image]:
        """Return the images of a source that has none: a provider may also call it unknown."""
        try:
            return compute.images(source)
        except (NotFound, InvalidArgument):
            return ()

    def test_public_keys(self, compute: ComputeProvider, wanted: Launch) -> None:
        """Imported, listed, replaced, given to a machine, removed."""
        if not self.offers(compute, ComputeFeature.KEYS):
            for act in (compute.public_keys, lambda: compute.import_key("a", PUBLIC), lambda: compute.delete_key("a")):
                with pytest.raises(NotSupported):
                    act()
            return
        key = compute.import_key("sovbroker-test", PUBLIC)
        assert [one.name for one in compute.public_keys()] == ["sovbroker-test"]
        key = compute.import_key("sovbroker-test", OTHER)
        assert [one.id for one in compute.public_keys()] == [key.id]
        made = compute.launch(replace(wanted, key=key.id))
        compute.destroy(made.id)
        compute.delete_key(key.id)
        compute.delete_key(key.id)
        assert list(compute.public_keys()) == []

    def test_volumes(self, compute: ComputeProvider, wanted: Launch) -> None:
        """Made, attached, detached, destroyed; one in use is not destroyed."""
        if not self.offers(compute, ComputeFeature.VOLUMES):
            for act in (compute.volumes, lambda: compute.create_volume("a", size=GIB)):
                with pytest.raises(NotSupported):
                    act()
            return
        volume = compute.create_volume("data", size=GIB, tags=wanted.tags)
        assert volume.size >= GIB
        assert volume.machine is None
        assert volume.id in {one.id for one in compute.volumes()}
        machine = compute.launch(wanted)
        self.settled(compute, machine.id, MachineState.RUNNING)
        compute.attach(volume.id, machine.id)
        assert {one.id: one.machine for one in compute.volumes()}[volume.id] == machine.id
        with pytest.raises(InvalidArgument):
            compute.destroy_volume(volume.id)
        compute.detach(volume.id)
        compute.detach(volume.id)
        assert {one.id: one.machine for one in compute.volumes()}[volume.id] is None
        compute.destroy_volume(volume.id)
        compute.destroy_volume(volume.id)
        assert volume.id not in {one.id for one in compute.volumes()}
        with pytest.raises(NotFound):
            compute.attach(self.absent, machine.id)
        with pytest.raises(NotFound):
            compute.detach(self.absent)
        compute.destroy(machine.id)

    def test_visibility_is_proved(self, compute: ComputeProvider, wanted: Launch) -> None:
        """Without machines by a canary, with machines by their number, where there is another way to count them."""
        empty = compute.visibility()
        assert empty.canary
        assert empty.count in {None, 0}
        made = compute.launch(wanted)
        self.settled(compute, made.id, MachineState.RUNNING)
        assert compute.visibility().count in {None, 1}
        compute.destroy(made.id)

    def test_threads_share_it(self, compute: ComputeProvider, wanted: Launch) -> None:
        """Each launches and destroys its own."""

        def work(number: int) -> str:
            made = compute.launch(replace(wanted, token=f"{wanted.token[:-2]}{number:02}", name=f"one-{number}"))
            compute.machines()
            compute.destroy(made.id)
            return made.id

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(work, range(MANY)))) == MANY
        for one in compute.machines():
            self.gone(compute, one.id)

    def test_closes_twice(self, compute: ComputeProvider) -> None:
        """Nothing happens the second time."""
        compute.close()
        compute.close()


Act = Callable[[ComputeProvider], object]


class ComputeFaultSuite:
    """No answer that is none is taken for one.

    Needs the fixtures `wanted`, `source` and `answered`: a function that returns a provider whose every request is
    answered with a status and a body, after `pause` seconds; what comes before the answer that counts, such as a token,
    is answered well. `truncated` is a body that begins like an answer of the provider and ends too soon, `absent` an id
    of the provider's form.
    """

    truncated: ClassVar[bytes] = b'{"servers": [{"id": "a'
    absent: ClassVar[str] = "i-0123456789abcdef0"
    statuses: ClassVar[tuple[int, ...]] = (301, 302, 400, 401, 403, 404, 409, 429, 500, 502, 503, 504)
    """What is no "yes". 404 is among them: a page of somebody in between does not say that a machine is gone."""

    lacking: ClassVar[frozenset[str]] = frozenset()
    """What the provider does not offer, so that it asks nobody: it has to raise NotSupported."""

    @staticmethod
    def acts(wanted: Launch, source: ImageSource, absent: str) -> dict[str, Act]:
        """Return what is asked, by name."""
        return {
            "machines": lambda compute: compute.machines(),
            "machine": lambda compute: compute.machine(absent),
            "sizes": lambda compute: compute.sizes(),
            "images": lambda compute: compute.images(source),
            "launch": lambda compute: compute.launch(wanted),
            "destroy": lambda compute: compute.destroy(absent),
            "start": lambda compute: compute.start(absent),
            "stop": lambda compute: compute.stop(absent),
            "reboot": lambda compute: compute.reboot(absent),
            "public_keys": lambda compute: compute.public_keys(),
            "import_key": lambda compute: compute.import_key("sovbroker-test", PUBLIC),
            "delete_key": lambda compute: compute.delete_key("sovbroker-test"),
            "volumes": lambda compute: compute.volumes(),
            "create_volume": lambda compute: compute.create_volume("data", size=GIB),
            "attach": lambda compute: compute.attach(absent, absent),
            "detach": lambda compute: compute.detach(absent),
            "destroy_volume": lambda compute: compute.destroy_volume(absent),
            "visibility": lambda compute: compute.visibility(),
        }

    @pytest.mark.parametrize("act", ACTS)
    def test_what_is_called_an_error_raises(
        self, act: str, wanted: Launch, source: ImageSource, answered: Callable[..., ComputeProvider]
    ) -> None:
        """Whatever the error, and whatever stands in its body."""
        for status in self.statuses:
            for body in (b"", b"{}", b"null", b"<html>no</html>", self.truncated):
                self.raises(act, wanted, source, answered(status, body))

    @pytest.mark.parametrize("act", ACTS)
    def test_an_answer_that_is_none_raises(
        self, act: str, wanted: Launch, source: ImageSource, answered: Callable[..., ComputeProvider]
    ) -> None:
        """An empty one, one that ends too soon, one that holds nothing, and a page of somebody in between.

        A provider that acknowledges with nothing is asked whether it has done it.
        """
        for body in (b"", self.truncated, b"<html><body>Please log in</body></html>", b"null", b"{}", b'"ok"'):
            self.raises(act, wanted, source, answered(200, body))

    @pytest.mark.parametrize("act", ACTS)
    def test_no_request_waits_beyond_its_deadline(
        self, act: str, wanted: Launch, source: ImageSource, answered: Callable[..., ComputeProvider]
    ) -> None:
        """A server that takes the call and is silent."""
        compute = answered(200, b"", pause=PAUSE)
        began = time.monotonic()
        with waiting(deadline=began + WAITED, repeats=True):
            self.raises(act, wanted, source, compute, Unavailable)
        assert time.monotonic() - began < PAUSE - 1

    def raises(
        self,
        act: str,
        wanted: Launch,
        source: ImageSource,
        compute: ComputeProvider,
        error: type[SovbrokerError] = SovbrokerError,
    ) -> None:
        """Assert that an act raises: what is lacking NotSupported, all else another error."""
        with pytest.raises(NotSupported if act in self.lacking else error) as caught:
            self.acts(wanted, source, self.absent)[act](compute)
        assert isinstance(caught.value, NotSupported) == (act in self.lacking)
        # Only the provider's own words say that nothing was made, so that another place may be asked.
        assert not isinstance(caught.value, NoCapacity)
