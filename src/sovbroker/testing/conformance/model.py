"""A store against a dictionary: whatever sequence of calls, the same answers."""

# ruff: noqa: S101 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

from itertools import count
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from sovbroker.errors import AlreadyExists, InvalidArgument, NotFound, NotSupported
from sovbroker.ports import Feature, Store
from sovbroker.testing.conformance.traits import Traits, load, usable

__all__ = ["ModelSuite"]

NESTED = ("a", "a/b", "a.b", "é")
FLAT = ("a", "d/b", "a.b", "é")
KEYS = st.integers(0, len(NESTED) - 1)
BODIES = st.binary(max_size=300) | st.integers(0, 200_000).map(bytes)
RUNS = settings(
    stateful_step_count=20,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=(HealthCheck.too_slow,),
)


class Machine(RuleBasedStateMachine):
    """One run of calls, in a part of the store of its own, beside a dictionary that says what must come of them."""

    store: ClassVar[Store]
    names: ClassVar[tuple[str, ...]]
    runs: ClassVar[count[int]] = count()

    def __init__(self) -> None:
        super().__init__()
        self.home = f"run {next(self.runs)}/"
        self.model: dict[str, bytes] = {}

    def key(self, index: int) -> str:
        """Return one of the keys of this run."""
        return self.home + self.names[index]

    @initialize(index=KEYS, body=BODIES)
    def begin(self, index: int, body: bytes) -> None:
        """Begin with an object: most calls are about what is there."""
        self.put(index, body)

    @rule(index=KEYS, body=BODIES)
    def put(self, index: int, body: bytes) -> None:
        """Put."""
        self.store.put(self.key(index), body, size=len(body))
        self.model[self.key(index)] = body

    @rule(index=KEYS, body=BODIES)
    def put_if_absent(self, index: int, body: bytes) -> None:
        """Put what may be there."""
        key = self.key(index)
        able = usable(self.store, Feature.CONDITIONAL_PUT)
        if not able or key in self.model:
            with pytest.raises(AlreadyExists if able else NotSupported):
                self.store.put(key, body, size=len(body), if_absent=True)
        else:
            self.store.put(key, body, size=len(body), if_absent=True)
            self.model[key] = body

    @rule(index=KEYS)
    def get(self, index: int) -> None:
        """Get what may not be there."""
        key = self.key(index)
        if key in self.model:
            assert load(self.store, key) == self.model[key]
            assert self.store.head(key).size == len(self.model[key])
        else:
            with pytest.raises(NotFound):
                self.store.get(key)

    @rule(index=KEYS, first=st.integers(0, 400), more=st.integers(0, 400))
    def get_range(self, index: int, first: int, more: int) -> None:
        """Get a range of what may not be there, or not be so long."""
        key, span = self.key(index), (first, first + more)
        if not usable(self.store, Feature.RANGE) or key not in self.model:
            with pytest.raises((NotSupported, NotFound)):
                self.store.get(key, range=span)
        elif first >= len(self.model[key]):
            with pytest.raises(InvalidArgument):
                self.store.get(key, range=span)
        else:
            with self.store.get(key, range=span) as reader:
                assert reader.read() == self.model[key][first : first + more + 1]

    @rule(index=KEYS)
    def delete(self, index: int) -> None:
        """Delete what may not be there."""
        self.store.delete(self.key(index))
        self.model.pop(self.key(index), None)

    @rule(indices=st.lists(KEYS, max_size=4))
    def delete_many(self, indices: list[int]) -> None:
        """Delete what may not be there, or be named twice."""
        assert self.store.delete_many([self.key(index) for index in indices]) == {}
        for index in indices:
            self.model.pop(self.key(index), None)

    @rule(source=KEYS, more=st.integers(1, len(NESTED) - 1))
    def copy(self, source: int, more: int) -> None:
        """Copy what may not be there onto what may."""
        one, other = self.key(source), self.key((source + more) % len(NESTED))
        if not usable(self.store, Feature.COPY) or one not in self.model:
            with pytest.raises((NotSupported, NotFound)):
                self.store.copy(one, other)
        else:
            self.store.copy(one, other)
            self.model[other] = self.model[one]

    @rule(prefix=st.sampled_from(["", "a", "a/", "d/", "é"]))
    def list_prefix(self, prefix: str) -> None:
        """List a part."""
        found = [info for page in self.store.list(self.home + prefix) for info in page.objects]
        expected = {key: len(body) for key, body in self.model.items() if key.startswith(self.home + prefix)}
        assert {info.key: info.size for info in found} == expected
        if usable(self.store, Feature.ORDERED_LIST):
            assert [info.key for info in found] == sorted(expected)

    def teardown(self) -> None:
        """See that all is as the dictionary says, and leave nothing."""
        assert {key: load(self.store, key) for key in self.model} == self.model
        assert self.store.delete_many([*self.model]) == {}


class ModelSuite(Traits):
    """What holds for every sequence of calls."""

    def test_behaves_like_a_dictionary(self, store: Store) -> None:
        """Puts, overwrites, deletions, copies and listings, in any order."""
        bound = {"store": store, "names": NESTED if self.nested else FLAT}
        run_state_machine_as_test(type("Run", (Machine,), bound), settings=settings(RUNS, max_examples=self.examples))
