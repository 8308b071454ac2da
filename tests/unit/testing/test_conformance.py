"""The suite must catch a store that breaks a promise: each mutant here breaks one, and one test has to see it."""

import inspect
from dataclasses import replace

import pytest
from hypothesis import Phase, settings

from sovbroker.errors import NotFound
from sovbroker.ports import NO_METADATA, Feature, Page, Support
from sovbroker.testing.conformance import StoreSuite, model
from sovbroker_adapters.memory import MemoryStore


class Drains:
    def __init__(self, source, size):
        self.source, self.size = source, size

    def all(self):
        if isinstance(self.source, (bytes, bytearray, memoryview)):
            return bytes(self.source)
        data = b""
        while piece := self.source.read(65536):
            data += piece
        return data


class Truncating(MemoryStore):
    def put(self, key, body, *, size, metadata=NO_METADATA, if_absent=False):
        data = Drains(body, size).all()
        return super().put(key, data, size=len(data), metadata=metadata, if_absent=if_absent)


class Publishing(MemoryStore):
    """Stores what came before the source broke."""

    def put(self, key, body, *, size, metadata=NO_METADATA, if_absent=False):
        try:
            return super().put(key, body, size=size, metadata=metadata, if_absent=if_absent)
        except Exception:
            super().put(key, b"part", size=4)
            raise


class Folding(MemoryStore):
    def put(self, key, body, *, size, metadata=NO_METADATA, if_absent=False):
        return super().put(key.casefold(), body, size=size, metadata=metadata, if_absent=if_absent)

    def get(self, key, *, range=None):  # noqa: A002 - the port's word
        return super().get(key.casefold(), range=range)


class Ignoring(MemoryStore):
    def put(self, key, body, *, size, metadata=NO_METADATA, if_absent=False):
        return super().put(key, body, size=size, metadata=metadata)


class Forgetful(MemoryStore):
    def put(self, key, body, *, size, metadata=NO_METADATA, if_absent=False):
        return super().put(key, body, size=size, if_absent=if_absent)


class Exclusive(MemoryStore):
    """Takes the end of a range as exclusive."""

    def get(self, key, *, range=None):  # noqa: A002 - the port's word
        return super().get(key, range=None if range is None else (range[0], max(range[0], range[1] - 1)))


class Partial(MemoryStore):
    """Says that a range is the whole object."""

    def get(self, key, *, range=None):  # noqa: A002 - the port's word
        reader = super().get(key, range=range)
        if range is not None:
            reader.info = replace(reader.info, size=1)
        return reader


class Unordered(MemoryStore):
    def list(self, prefix="", *, delimiter=None, start_after=""):
        for page in super().list(prefix, delimiter=delimiter, start_after=start_after):
            yield Page(tuple(reversed(page.objects)), page.prefixes)


class OnePage(MemoryStore):
    def list(self, prefix="", *, delimiter=None, start_after=""):
        return iter([next(super().list(prefix, delimiter=delimiter, start_after=start_after), Page(()))])


class Inclusive(MemoryStore):
    def list(self, prefix="", *, delimiter=None, start_after=""):
        return super().list(prefix, delimiter=delimiter, start_after=start_after[:-1])


class Strict(MemoryStore):
    """Refuses to delete what is not there."""

    def delete(self, key):
        self.head(key)
        super().delete(key)


class Wide(MemoryStore):
    """Deletes what begins alike."""

    def delete(self, key):
        for page in list(self.list(key)):
            for info in page.objects:
                super().delete(info.key)


class Nameless(MemoryStore):
    def get(self, key, *, range=None):  # noqa: A002 - the port's word
        try:
            return super().get(key, range=range)
        except NotFound as error:
            raise NotFound("gone", target=self.target) from error


class Foreign(MemoryStore):
    def head(self, key):
        try:
            return super().head(key)
        except NotFound as error:
            raise KeyError(key) from error


class Modest(MemoryStore):
    """Does what it does not declare."""

    capabilities = dict(MemoryStore.capabilities) | {Feature.COPY: Support.ABSENT}


class Boastful(MemoryStore):
    """Declares what it does not do."""

    capabilities = dict(MemoryStore.capabilities) | {Feature.PRESIGN: Support.NATIVE}


class Early(MemoryStore):
    """Shows an object before its upload is committed."""

    def multipart(self, key, *, metadata=NO_METADATA, upload_id=None):
        self.put(key, b"", size=0)
        return super().multipart(key, metadata=metadata, upload_id=upload_id)


class Torn(MemoryStore):
    """Replaces in two steps."""

    def put(self, key, body, *, size, metadata=NO_METADATA, if_absent=False):
        if size > 1000:
            super().put(key, bytes(body)[:1000] if isinstance(body, bytes) else b"", size=1000)
        return super().put(key, body, size=size, metadata=metadata, if_absent=if_absent)


MUTANTS = {
    Truncating: "test_a_body_of_the_wrong_length_changes_nothing",
    Publishing: "test_a_source_that_raises_changes_nothing",
    Folding: "test_tells_canonically_equal_keys_apart",
    Ignoring: "test_if_absent",
    Forgetful: "test_metadata",
    Exclusive: "test_ranges",
    Partial: "test_ranges",
    Unordered: "test_lists_in_byte_order",
    OnePage: "test_many_objects",
    Inclusive: "test_starts_after",
    Strict: "test_missing_object",
    Wide: "test_holds_every_reasonable_key",
    Nameless: "test_missing_object",
    Foreign: "test_missing_object",
    Modest: "test_copy",
    Boastful: "test_presign",
    Early: "test_joins_parts_sent_in_any_order",
}
PARAMETERS = {"announced": -1, "size": 1000, "streamed": True, "given": 1000, "key": "plain"}


def run(store, name):
    method = getattr(StoreSuite(), name)
    wanted = [p for p in inspect.signature(method).parameters if p != "store"]
    method(store, **{p: PARAMETERS[p] for p in wanted})


@pytest.mark.parametrize("name", sorted(set(MUTANTS.values())))
def test_the_tests_pass_on_the_reference_model(name):
    run(MemoryStore(), name)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_promise_is_seen(mutant):
    # pytest.raises that sees nothing fails with pytest's own exception, which is no Exception.
    with pytest.raises((Exception, pytest.fail.Exception)):
        run(mutant(), MUTANTS[mutant])


def test_the_model_sees_a_store_that_loses_writes(monkeypatch):
    monkeypatch.setattr(model, "RUNS", settings(model.RUNS, phases=[Phase.generate]))
    monkeypatch.setattr(StoreSuite, "examples", 200)

    class Losing(MemoryStore):
        def copy(self, source, destination):
            return self.head(source)

    with pytest.raises((NotFound, AssertionError)):
        run(Losing(), "test_behaves_like_a_dictionary")


def test_every_feature_is_tested_when_it_is_absent():
    # A store that does what it says it does not do: `NotSupported` is what each of these waits for.
    for name in ("test_metadata", "test_if_absent", "test_ranges", "test_copy", "test_starts_after", "test_abort"):
        absent = MemoryStore()
        absent.capabilities = dict.fromkeys(Feature, Support.ABSENT)
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            run(absent, name)
