"""What servers and networks do to requests, and what must become of it: an error of ours, or the right answer.

Subclass `FaultSuite` in a test module of an adapter that speaks HTTP::

    class TestMineFails(FaultSuite):
        @pytest.fixture
        def proxy(self, server):
            with ChaosProxy(server.host) as proxy:
                yield proxy

        @pytest.fixture
        def opened(self, server, bucket, proxy):
            def open_store(*, attempts, read_timeout): …      # a store whose requests pass the proxy
            yield open_store
            …                                                 # close those that were opened

Every operation that the store declares meets every fault, at each of its requests. What comes back is compared with
what was stored; what is raised is of the tree of errors and of the right kind.
"""

# ruff: noqa: S101 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final, Protocol, TypeVar, cast

import pytest

from sovbroker.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    SovbrokerError,
    StoreError,
    Unavailable,
)
from sovbroker.ports import Feature, ObjectInfo, Part, Store, waiting
from sovbroker.testing.background import Background
from sovbroker.testing.chaos import (
    Announce,
    ChaosProxy,
    Cut,
    Duplicate,
    Fault,
    Flip,
    Reset,
    Side,
    Stall,
    Status,
    Truncate,
)
from sovbroker.testing.conformance.traits import Trickle, holds, known, load, pattern, usable

__all__ = ["FaultSuite"]

T = TypeVar("T")

OLD: Final = pattern(40_000, seed=1)
NEW: Final = pattern(30_000, seed=2)
OTHER: Final = {"other": "1"}
SPAN: Final = (100, 20_000)
HURRY: Final = 0.3
LONG: Final = 30.0

PAGES: Final = (
    Status(200),
    Status(200, b"<html><body>log in here</body></html>", (("Content-Type", "text/html"),)),
    Status(200, b"<a><b", (("Content-Type", "application/xml"),)),
    Status(200, b'{"kind": [7', (("Content-Type", "application/json"),)),
    Status(206, b"\x00\xff garbage", (("Content-Range", "bytes */?"),)),
)
"""What a portal, a proxy or a broken server answers instead of a store."""

BROKEN: Final[tuple[Fault, ...]] = (
    Reset(),
    Reset(on=Side.REQUEST),
    Reset(after=3, on=Side.REQUEST),
    Reset(after=3),
    Truncate(3),
    Announce(7),
    Duplicate(),
    Status(500),
    Status(503),
    *PAGES,
)
LATER: Final = (408, 429, 500, 502, 503, 504, 507)
FINAL: Final = (400, 401, 403, 405, 501)
REDIRECTS: Final = (301, 302, 303, 307, 308)
PLAIN: Final = (StoreError,)

KINDS: Final[Mapping[int, tuple[type[SovbrokerError], ...]]] = {
    400: (StoreError, InvalidArgument),
    401: (PermissionDenied,),
    403: (PermissionDenied,),
    404: (NotFound,),
    405: (NotSupported,),
    409: (StoreError, Unavailable),
    412: (StoreError, Unavailable),
    416: (StoreError, InvalidArgument),
    501: (NotSupported,),
    **dict.fromkeys(LATER, (Unavailable,)),
    # Some libraries stumble over an address that nobody follows.
    **dict.fromkeys(REDIRECTS, (StoreError, Unavailable)),
}
"""What each status may become: just these classes, and none that is derived from them."""


class Opener(Protocol):
    """Opens the store of a test through its proxy, any number of times."""

    def __call__(self, *, attempts: int, read_timeout: int) -> Store:
        """Open it: a call is made so often, and waits for so many seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What an operation finds: a store with the objects `object` and `other`, and an upload with one part."""

    store: Store
    upload: str = ""
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a store does. `call` does it; `right` says, with the faults gone, whether it was done.

    `repeated`: it is made again when there is no answer. `conditional`: it is to change nothing that exists.
    """

    call: Callable[[Scene], object]
    right: Callable[[Scene, object], bool]
    needs: Feature | None = None
    repeated: bool = False
    conditional: bool = False


def _put(body: bytes, *, key: str = "object") -> Callable[[Scene, object], bool]:
    return lambda scene, said: (
        isinstance(said, ObjectInfo) and said.size == len(body) and load(scene.store, key) == body
    )


def _listed(scene: Scene) -> object:
    return {info.key: info.size for page in scene.store.list() for info in page.objects}


def _commit(scene: Scene) -> object:
    assert scene.part is not None
    return scene.store.multipart("joined", upload_id=scene.upload).commit([scene.part])


def _read_range(scene: Scene) -> object:
    with scene.store.get("object", range=SPAN) as reader:
        return reader.read()


def _multipart(scene: Scene) -> object:
    return scene.store.multipart("new").id


def _parts(scene: Scene) -> object:
    return [part.size for part in scene.store.multipart("joined", upload_id=scene.upload).parts()]


STORED: Final = {"object": len(OLD), "other": 5}

OPERATIONS: Final[Mapping[str, Operation]] = {
    "head": Operation(
        lambda scene: scene.store.head("object"), lambda _, said: getattr(said, "size", 0) == len(OLD), repeated=True
    ),
    "get": Operation(lambda scene: load(scene.store, "object"), lambda _, said: said == OLD),
    "range": Operation(_read_range, lambda _, said: said == OLD[SPAN[0] : SPAN[1] + 1], Feature.RANGE),
    "put": Operation(lambda scene: scene.store.put("object", NEW, size=len(NEW)), _put(NEW), repeated=True),
    "source": Operation(lambda scene: scene.store.put("object", Trickle(NEW), size=len(NEW)), _put(NEW)),
    "empty": Operation(lambda scene: scene.store.put("object", b"", size=0), _put(b"")),
    "if_absent": Operation(
        lambda scene: scene.store.put("absent", NEW, size=len(NEW), if_absent=True),
        _put(NEW, key="absent"),
        Feature.CONDITIONAL_PUT,
        conditional=True,
    ),
    "delete": Operation(
        lambda scene: scene.store.delete("other"), lambda scene, _: not holds(scene.store, "other"), repeated=True
    ),
    "delete_many": Operation(
        lambda scene: scene.store.delete_many(["other"]), lambda scene, _: not holds(scene.store, "other")
    ),
    "list": Operation(_listed, lambda _, said: said == STORED, repeated=True),
    "folded": Operation(
        lambda scene: [len(page.objects) for page in scene.store.list(delimiter="/")],
        lambda _, said: said == [len(STORED)],
        Feature.DELIMITER,
    ),
    "copy": Operation(lambda scene: scene.store.copy("object", "copied"), _put(OLD, key="copied"), Feature.COPY),
    "set_metadata": Operation(
        lambda scene: scene.store.set_metadata("object", metadata=OTHER),
        lambda scene, said: (
            isinstance(said, ObjectInfo)
            and OTHER.items() <= scene.store.head("object").metadata.items()
            and load(scene.store, "object") == OLD
        ),
        Feature.SET_METADATA,
    ),
    "multipart": Operation(_multipart, lambda _, said: bool(said), Feature.MULTIPART),
    "part": Operation(
        lambda scene: scene.store.multipart("joined", upload_id=scene.upload).part(1, OLD).size,
        lambda scene, said: said == len(OLD) and _parts(scene) == [len(OLD)],
        Feature.MULTIPART,
    ),
    "parts": Operation(_parts, lambda _, said: said == [len(OLD)], Feature.MULTIPART),
    "commit": Operation(_commit, _put(OLD, key="joined"), Feature.MULTIPART),
    "abort": Operation(
        lambda scene: scene.store.multipart("joined", upload_id=scene.upload).abort(),
        lambda scene, _: all(found.id != scene.upload for found in scene.store.uploads()),
        Feature.MULTIPART,
    ),
    "uploads": Operation(
        lambda scene: [found.key for found in scene.store.uploads("joined")],
        lambda _, said: said == ["joined"],
        Feature.MULTIPART,
    ),
}
REMOVALS: Final = frozenset({"delete", "delete_many", "abort"})
READS: Final = frozenset({"get", "range"})

every_operation = pytest.mark.parametrize("name", OPERATIONS)


class FaultSuite:
    """Needs the fixtures `proxy`, a `ChaosProxy`, and `opened`, which opens stores through it: see `Opener`.

    `verifies_reads`: a byte that was changed on the way back is found out by the store itself. Where it is False, a
    broker finds it out.

    `keeps_replaced`: what is replaced is there until it is. Where it is False, the server removes it first, and a fault
    in between may lose it.

    `statuses_raise`: the adapter's library raises for an answer's status, so that its exception is the cause of ours.
    """

    verifies_reads: ClassVar[bool] = True
    keeps_replaced: ClassVar[bool] = True
    statuses_raise: ClassVar[bool] = True

    def tolerates(self, name: str, fault: Fault) -> bool:
        """Whether an operation may do without the answer to its first request; say why in the subclass."""
        del name, fault
        return False

    def _set_up(self, store: Store, proxy: ChaosProxy, operation: Operation) -> Scene:
        proxy.script()
        proxy.always(None)
        if operation.needs in {Feature.MULTIPART, Feature.COPY, Feature.CONDITIONAL_PUT}:
            store.delete_many(["absent", "copied", "joined", "new"])
        store.put("object", OLD, size=len(OLD), metadata=known(store))
        store.put("other", b"other", size=5)
        if operation.needs is not Feature.MULTIPART:
            return Scene(store)
        for found in store.uploads():
            store.multipart(found.key, upload_id=found.id).abort()
        upload = store.multipart("joined")
        return Scene(store, upload.id, upload.part(1, OLD))

    def _offered(self, store: Store, name: str) -> Operation | None:
        """Return an operation; None, having seen that it is refused, where the store does not offer it."""
        operation = OPERATIONS[name]
        if operation.needs is None or usable(store, operation.needs):
            return operation
        with pytest.raises(NotSupported):
            operation.call(Scene(store, "x", Part(1, 1, "x")))
        return None

    @every_operation
    def test_every_status_becomes_an_error_of_ours(self, opened: Opener, proxy: ChaosProxy, name: str) -> None:
        """Of the kind that it is, with the target's name; if it has a cause, that is another library's in the end."""
        store = opened(attempts=1, read_timeout=20)
        operation = self._offered(store, name)
        if operation is None:
            return
        scene = self._set_up(store, proxy, operation)
        with elsewhere() as other:
            for code, kinds in KINDS.items():
                fault = Status(code, b"", (("Location", f"{other.url}/{other.path}"),) if code in REDIRECTS else ())
                proxy.always(fault)
                error = failure_of(operation, scene)
                if error is None:
                    # What is to be removed is not there: so says the store.
                    assert name in REMOVALS, (code, "no error")
                    assert code == 404 or self.tolerates(name, fault), code  # noqa: PLR2004 - not found
                    continue
                allowed = (*kinds, AlreadyExists) if operation.conditional and code in {409, 412} else kinds
                assert type(error) in allowed, (code, error)
                if self.statuses_raise:
                    assert error.__cause__ is None or not isinstance(first_cause(error), SovbrokerError), code
                assert isinstance(error, InvalidArgument) or getattr(error, "target", None) == store.target, code
            assert other.asked == 0

    @every_operation
    def test_a_no_is_not_asked_for_again(self, opened: Opener, proxy: ChaosProxy, name: str) -> None:
        """The second request would be answered, and is not made."""
        store = opened(attempts=3, read_timeout=20)
        operation = self._offered(store, name)
        if operation is None:
            return
        for code in FINAL:
            scene = self._set_up(store, proxy, operation)
            proxy.script(Status(code))
            outcome = outcome_of(operation, scene)
            if isinstance(outcome, SovbrokerError):
                assert type(outcome) in KINDS[code], (code, outcome)
            else:
                assert self.tolerates(name, Status(code)), code
                assert operation.right(scene, outcome), code

    @every_operation
    def test_what_may_be_mended_by_a_retry_is(self, opened: Opener, proxy: ChaosProxy, name: str) -> None:
        """Or it is told as Unavailable, where a second request could do what the first has done."""
        store = opened(attempts=3, read_timeout=20)
        operation = self._offered(store, name)
        if operation is None:
            return
        for fault in (Status(503), Reset(), Reset(on=Side.REQUEST)):
            scene = self._set_up(store, proxy, operation)
            proxy.script(fault)
            outcome = outcome_of(operation, scene)
            if isinstance(outcome, Exception):
                assert not operation.repeated, fault
                assert isinstance(outcome, Unavailable), (fault, outcome)
            else:
                assert operation.right(scene, outcome), fault

    @every_operation
    def test_what_breaks_at_any_request_is_told(self, opened: Opener, proxy: ChaosProxy, name: str) -> None:
        """Or does no harm: what is returned is right, and what was stored before is whole."""
        store = opened(attempts=1, read_timeout=20)
        operation = self._offered(store, name)
        if operation is None:
            return
        scene = self._set_up(store, proxy, operation)
        before = len(proxy.seen)
        assert operation.right(scene, operation.call(scene))
        requests = len(proxy.seen) - before
        assert requests
        for place in range(min(requests, 4)):
            for fault in BROKEN:
                scene = self._set_up(store, proxy, operation)
                proxy.script(*([None] * place), fault)
                outcome = outcome_of(operation, scene)
                proxy.script()
                if isinstance(outcome, Exception):
                    assert isinstance(outcome, (StoreError, InvalidArgument)), (place, fault, outcome)
                elif name not in REMOVALS or fault != Status(200):
                    # That something was removed may be said by a status alone.
                    assert settled(partial(operation.right, scene, outcome)), (place, fault, outcome)
                whole = {OLD, NEW, b""} if name == "empty" else {OLD, NEW}
                try:
                    assert settled(partial(load, store, "object")) in whole, (place, fault)
                except NotFound:
                    assert name == "delete" or not self.keeps_replaced, (place, fault)

    def test_no_call_waits_beyond_its_callers_deadline(self, opened: Opener, proxy: ChaosProxy) -> None:
        """A server that does not answer, and a time limit of the store that is far longer."""
        store = opened(attempts=3, read_timeout=int(4 * LONG))
        began = time.monotonic()
        for name in OPERATIONS:
            operation = self._offered(store, name)
            if operation is None:
                continue
            scene = self._set_up(store, proxy, operation)
            proxy.always(Stall())
            with waiting(deadline=time.monotonic() + HURRY, repeats=False):
                error = failure_of(operation, scene)
            assert isinstance(error, Unavailable), (name, error)
            before = len(proxy.seen)
            with waiting(deadline=time.monotonic() - 1, repeats=False):
                error = failure_of(operation, scene)
            assert isinstance(error, Unavailable), (name, error)
            assert len(proxy.seen) == before, name
        # Far more than all of them need, and less than one that waits for its own time limit.
        assert time.monotonic() - began < 2 * LONG

    def test_who_repeats_calls_is_the_only_one(self, opened: Opener, proxy: ChaosProxy) -> None:
        """A caller that says so is not repeated for."""
        store = opened(attempts=3, read_timeout=20)
        for name, operation in OPERATIONS.items():
            if operation.repeated:
                scene = self._set_up(store, proxy, operation)
                proxy.script(Status(503))
                with waiting(deadline=None, repeats=True):
                    assert isinstance(failure_of(operation, scene), Unavailable), name

    def test_a_stalled_server_is_given_up(self, opened: Opener, proxy: ChaosProxy) -> None:
        """After the store's own time limit, before an answer and in the middle of a body."""
        store = opened(attempts=1, read_timeout=1)
        scene = self._set_up(store, proxy, OPERATIONS["get"])
        for name, fault in (("head", Stall()), ("put", Stall()), ("get", Stall(1000)), ("list", Stall(5))):
            proxy.always(fault)
            assert isinstance(failure_of(OPERATIONS[name], scene), Unavailable), name

    @pytest.mark.parametrize("kind", [Truncate, Reset])
    def test_a_body_that_breaks_off_is_no_shorter_object(
        self, opened: Opener, proxy: ChaosProxy, kind: type[Truncate | Reset]
    ) -> None:
        """Read at once, in pieces, or as a range: the end of the bytes is not the end of the object."""
        store = opened(attempts=1, read_timeout=20)
        self._set_up(store, proxy, OPERATIONS["get"])
        spans = [None, SPAN] if usable(store, Feature.RANGE) else [None]
        for span in spans:
            length = len(OLD) if span is None else span[1] - span[0] + 1
            for after in (0, 1, 5000, length - 1):
                for piece in (-1, 4096):
                    proxy.script(kind(after=after))
                    came: list[bytes] = []
                    with pytest.raises(Unavailable) as caught:
                        came.extend(pieces(store, span, piece))
                    assert caught.value.key == "object"
                    assert len(b"".join(came)) < length
        assert load(store, "object") == OLD

    def test_an_answer_of_another_length(self, opened: Opener, proxy: ChaosProxy) -> None:
        """What is announced and does not come is missed; what comes beyond it does not reach the next call."""
        store = opened(attempts=1, read_timeout=20)
        self._set_up(store, proxy, OPERATIONS["get"])
        for name in sorted(READS):
            proxy.script(Announce(100))
            scene = Scene(store)
            if self._offered(store, name) is not None:
                assert isinstance(failure_of(OPERATIONS[name], scene), Unavailable), name
        proxy.script(Announce(-100))
        outcome = outcome_of(OPERATIONS["get"], Scene(store))
        if self.verifies_reads:
            assert isinstance(outcome, Unavailable), outcome
        proxy.script()
        for _ in range(3):
            found = outcome_of(OPERATIONS["get"], Scene(store))
            assert found == OLD or isinstance(found, Unavailable)
        assert load(store, "object") == OLD

    def test_a_byte_that_was_changed_is_found_out(self, opened: Opener, proxy: ChaosProxy) -> None:
        """On the way there always; on the way back where the store says so."""
        store = opened(attempts=1, read_timeout=20)
        for name in ("put", "source", "part"):
            operation = self._offered(store, name)
            if operation is None:
                continue
            for fault in (Flip(12_345), Cut(20_000), Cut(0)):
                scene = self._set_up(store, proxy, operation)
                before = len(proxy.seen)
                assert operation.right(scene, operation.call(scene))
                sizes = [seen.length for seen in proxy.seen[before:]]
                # The last sending is the one that counts.
                place = max(index for index, size in enumerate(sizes) if size >= len(NEW))
                scene = self._set_up(store, proxy, operation)
                proxy.script(*([None] * place), fault)
                assert isinstance(failure_of(operation, scene), StoreError), (name, fault)
        self._set_up(store, proxy, OPERATIONS["get"])
        proxy.script(Flip(12_345, on=Side.ANSWER))
        outcome = outcome_of(OPERATIONS["get"], Scene(store))
        assert isinstance(outcome, Unavailable if self.verifies_reads else bytes), outcome


def outcome_of(operation: Operation, scene: Scene) -> object:
    """Do it; return what came of it, an error of ours or a value. What else is raised fails the test."""
    try:
        found = operation.call(scene)
    except (StoreError, InvalidArgument) as error:
        return error
    if isinstance(found, Mapping):
        failures = [value for value in cast("Mapping[str, object]", found).values() if isinstance(value, StoreError)]
        return failures[0] if failures else cast("object", found)
    return found


def settled(look: Callable[[], T]) -> T:
    """Look at what there is now, again where the connection is one that the fault has broken: it may have been kept."""
    for _ in range(3):
        with suppress(Unavailable):
            return look()
    return look()


def first_cause(error: BaseException) -> BaseException:
    """Return what began it."""
    return error if error.__cause__ is None else first_cause(error.__cause__)


def failure_of(operation: Operation, scene: Scene) -> SovbrokerError | None:
    """Return the error of ours that an operation raises, None when it has none."""
    found = outcome_of(operation, scene)
    return found if isinstance(found, SovbrokerError) else None


def pieces(store: Store, span: tuple[int, int] | None, size: int) -> Iterator[bytes]:
    """Read the object in pieces."""
    with store.get("object", range=span) as reader:
        while data := reader.read(size):
            yield data


class Elsewhere:
    """A server that nobody has to ask; it counts those who do, by the name to which redirects lead.

    Anybody else who comes to its port meant somebody who had that before.
    """

    def __init__(self, background: Background) -> None:
        self.asked = 0
        self.path = f"elsewhere-{secrets.token_hex(8)}"
        self.url = f"http://127.0.0.1:{background.listen(self._serve)}"

    async def _serve(self, reader: asyncio.StreamReader, *_: object) -> None:
        self.asked += self.path.encode() in await reader.readline()


@contextmanager
def elsewhere() -> Generator[Elsewhere]:
    """Run a server to which redirects lead."""
    background = Background()
    try:
        yield Elsewhere(background)
    finally:
        background.close()
