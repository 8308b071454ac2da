"""The suite that proves that a key service keeps the promises of `sovbroker.ports.KeyService`."""

# ruff: noqa: S101 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import ClassVar

import pytest

from sovbroker.errors import InvalidArgument, KeyUnavailable, SealError, Tampered
from sovbroker.ports import KeyService
from sovbroker.testing.conformance.sharing import exit_code

__all__ = ["KeyServiceSuite"]

SECRET = bytes(range(200, 232))
CONTEXT = b"sovbroker domain key 1" + bytes(range(40))
THREADS = 16


class KeyServiceSuite:
    """Every promise of `KeyService`.

    Needs the fixtures `service` (open, with a key of its own), `again` (the same key, opened once more), and `other`
    (the same service with another key). `powers` names what can be done to the key from outside; for each of them the
    fixture `power` returns a function that does it and returns one that undoes it, or None where it cannot be undone:
    `disable` and `destroy` the key, `cut` the way to the service, `stall` it so that it takes the call and is silent.
    The fixture `power` also knows how to `delay` each answer, by less than the service is given.
    """

    powers: ClassVar[tuple[str, ...]] = ("disable", "destroy", "cut", "stall")

    def test_unwraps_what_it_wrapped(self, service: KeyService) -> None:
        """From one byte to 256, for any context, and never the same bytes twice."""
        for secret in (SECRET, b"\0", os.urandom(256), bytes(32)):
            for context in (CONTEXT, b"", "é".encode(), os.urandom(1000)):
                wrapped = service.wrap(secret, context)
                assert service.unwrap(wrapped, context) == secret
        assert service.wrap(SECRET, CONTEXT) != service.wrap(SECRET, CONTEXT)
        assert SECRET not in service.wrap(SECRET, CONTEXT)

    def test_wraps_nothing_that_is_no_secret(self, service: KeyService) -> None:
        """Neither nothing, nor more than it promises."""
        for wrong in (b"", bytes(257)):
            with pytest.raises(InvalidArgument):
                service.wrap(wrong, CONTEXT)

    def test_another_client_of_the_key_unwraps_it(self, service: KeyService, again: KeyService) -> None:
        """What is wrapped is bound to the key, and not to a connection."""
        assert again.name == service.name
        assert again.unwrap(service.wrap(SECRET, CONTEXT), CONTEXT) == SECRET

    def test_another_context_is_refused(self, service: KeyService) -> None:
        """By the service, or by us where the service does not look."""
        wrapped = service.wrap(SECRET, CONTEXT)
        for context in (b"", CONTEXT[:-1], CONTEXT + b"\0", CONTEXT[::-1]):
            with pytest.raises(Tampered):
                service.unwrap(wrapped, context)

    def test_another_key_does_not_open(self, service: KeyService, other: KeyService) -> None:
        """Whatever the service calls it."""
        wrapped = service.wrap(SECRET, CONTEXT)
        with pytest.raises(SealError):
            other.unwrap(wrapped, CONTEXT)

    def test_damage_is_found_out(self, service: KeyService) -> None:
        """Each byte counts; so do the ends."""
        wrapped = service.wrap(SECRET, CONTEXT)
        for at in range(0, len(wrapped), max(1, len(wrapped) // 12)):
            damaged = bytearray(wrapped)
            damaged[at] ^= 1
            with pytest.raises(SealError):
                service.unwrap(bytes(damaged), CONTEXT)
        for wrong in (b"", b"x", wrapped[:-1], wrapped + b"x", os.urandom(100), wrapped * 2, bytes(100_000)):
            with pytest.raises(SealError):
                service.unwrap(wrong, CONTEXT)

    def test_threads_share_it(self, service: KeyService) -> None:
        """Each gets its own secret back."""

        def work(number: int) -> bool:
            secret, context = os.urandom(32), b"%d" % number
            return service.unwrap(service.wrap(secret, context), context) == secret

        with ThreadPoolExecutor(THREADS) as pool:
            assert all(pool.map(work, range(THREADS * 2)))

    def test_threads_unwrap_the_same_at_once(self, service: KeyService) -> None:
        """As when many begin to read; one that asks for another context changes nothing for the others."""
        wrapped = service.wrap(SECRET, CONTEXT)
        together = Barrier(THREADS)

        def work(number: int) -> bytes | None:
            together.wait()
            if number % 4:
                return service.unwrap(wrapped, CONTEXT)
            with pytest.raises(Tampered):
                service.unwrap(wrapped, b"another")
            return None

        with ThreadPoolExecutor(THREADS) as pool:
            given = list(pool.map(work, range(THREADS)))
        assert given == [SECRET if number % 4 else None for number in range(THREADS)]

    def test_a_slow_answer_is_waited_for(
        self, service: KeyService, power: Callable[[str], Callable[[], Callable[[], None] | None]]
    ) -> None:
        """It is the answer all the same, for one caller and for several."""
        wrapped = service.wrap(SECRET, CONTEXT)
        undo = power("delay")()
        assert service.unwrap(service.wrap(SECRET, b"x"), b"x") == SECRET
        with ThreadPoolExecutor(THREADS) as pool:
            given = [pool.submit(service.unwrap, wrapped, CONTEXT) for _ in range(THREADS)]
            assert {one.result() for one in given} == {SECRET}
        assert undo is not None
        undo()

    def test_a_forked_child_uses_it(self, service: KeyService) -> None:
        """And so does the parent afterwards."""
        wrapped = service.wrap(SECRET, CONTEXT)
        with warnings.catch_warnings():
            # Newer versions of Python warn of what is tested here.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if service.unwrap(wrapped, CONTEXT) == SECRET else 2
            finally:
                os._exit(code)
        assert exit_code(child) == 0
        assert service.unwrap(wrapped, CONTEXT) == SECRET

    def test_a_power_over_the_key_is_felt(
        self, service: KeyService, power: Callable[[str], Callable[[], Callable[[], None] | None]]
    ) -> None:
        """What is disabled, cut off or silent opens nothing until it is mended; what is destroyed never does."""
        wrapped = service.wrap(SECRET, CONTEXT)
        # What cannot be undone comes last.
        for name in sorted(self.powers, key=lambda each: each == "destroy"):
            undo = power(name)()
            with pytest.raises(KeyUnavailable):
                service.unwrap(wrapped, CONTEXT)
            with pytest.raises(KeyUnavailable):
                service.wrap(SECRET, CONTEXT)
            if undo is not None:
                undo()
                assert service.unwrap(wrapped, CONTEXT) == SECRET

    def test_tells_no_secret(self, service: KeyService, caplog: pytest.LogCaptureFixture) -> None:
        """Neither printed, nor logged at any level, nor pickled."""
        with caplog.at_level(logging.DEBUG):
            wrapped = service.wrap(SECRET, CONTEXT)
            service.unwrap(wrapped, CONTEXT)
            with pytest.raises(SealError):
                service.unwrap(wrapped, b"another")
        from sovbroker.testing.recorder import traces  # noqa: PLC0415 - where it is needed

        told = (caplog.text + repr(service) + str(service)).encode()
        assert not traces(SECRET, told)
        with pytest.raises(TypeError):
            pickle.dumps(service)

    def test_closes_twice(self, service: KeyService) -> None:
        """Closing is idempotent, before and after use."""
        service.wrap(SECRET, CONTEXT)
        service.close()
        service.close()
