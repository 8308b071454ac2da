"""What belongs to one process: made once for each, and never half made when a process forks."""

from __future__ import annotations

import os
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from sovbroker.testing.conformance.sharing import in_child
from sovbroker_adapters.processes import PerProcess


def test_it_is_made_once_for_all_threads() -> None:
    """However many ask for it at once."""
    made: list[int] = []

    def make() -> list[int]:
        made.append(os.getpid())
        time.sleep(0.01)
        return made

    owns = PerProcess(make)
    with ThreadPoolExecutor(8) as pool:
        found = [task.result() for task in [pool.submit(owns.get) for _ in range(8)]]
    assert found == [made] * 8
    assert made == [os.getpid()]


def test_a_child_has_its_own() -> None:
    """The parent's sockets are not its own to use, or to close."""
    owns = PerProcess(os.getpid)
    assert owns.get() == os.getpid()

    def use() -> list[int]:
        return [int(owns.take() is None), int(owns.get() == os.getpid())]

    with in_child(use) as child:
        pass
    assert child() == [1, 1]
    assert owns.take() == os.getpid()
    assert owns.take() is None


def test_nobody_forks_while_one_is_made() -> None:
    """A fork waits until what other threads make is made: locks that libraries take for it nobody gives back."""
    begun, half = threading.Event(), False

    def make() -> int:
        nonlocal half
        half = True
        begun.set()
        # Whoever wants to fork has all the time for it.
        time.sleep(0.2)
        half = False
        return 1

    owns = PerProcess(make)
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(owns.get)
        assert begun.wait(10)
        with in_child(lambda: [int(half)]) as child:
            pass
        assert child() == [0]
        assert making.result() == 1


def test_what_is_being_made_may_fork() -> None:
    """It has the lock already, and so has its child."""

    def make() -> list[int]:
        with in_child(lambda: [PerProcess(os.getpid).get() == os.getpid()]) as child:
            pass
        return child()

    assert PerProcess(make).get() == [1]
    assert PerProcess(os.getpid).get() == os.getpid()


def test_children_make_tls_contexts_beside_their_parents_threads() -> None:
    """OpenSSL takes locks for that, which a child would wait for, for ever: one in a hundred did."""
    done = threading.Event()

    def context() -> ssl.SSLContext:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def churn() -> None:
        while not done.is_set():
            PerProcess(context).get()

    def use() -> list[int]:
        return [int(PerProcess(context).get().check_hostname)]

    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(churn) for _ in range(3)]
        try:
            for _ in range(20):
                with in_child(use) as child:
                    pass
                assert child() == [1]
        finally:
            done.set()
        assert [task.result() for task in busy] == [None] * 3


def test_it_cannot_be_pickled() -> None:
    """What is behind it holds sockets and secrets."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        partial(PerProcess(os.getpid).__reduce__)()
