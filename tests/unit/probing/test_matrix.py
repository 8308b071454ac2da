"""Each lie of a service is found out by the line that it is about, and by no other."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from sovbroker.confine import Confined
from sovbroker.errors import (
    AlreadyExists,
    ConfigError,
    InvalidArgument,
    NotFound,
    NotSupported,
    StoreError,
    Unavailable,
)
from sovbroker.ports import Feature, Inspection, Limits, Page, Support
from sovbroker.probing import find_out
from sovbroker.probing.results import Aspect
from sovbroker.specimens import PREFIX, body
from sovbroker_adapters.bodies import BytesReader
from sovbroker_adapters.memory import MemoryStore

HOLD = timedelta(milliseconds=50)
OWN = "0123456789abcdef"


def probe(store, **options):
    """Probe a store; return what was found by line."""
    found = find_out(lambda _: Confined(store), installation=OWN, hold=HOLD, **options)
    return {line.name: line for line in found.lines}, found.left


def held(store):
    return [info.key for page in store.list() for info in page.objects]


def test_an_honest_store():
    store = MemoryStore("m")
    lines, left = probe(store)
    assert left == ()
    assert {name: line.support for name, line in lines.items() if line.support is not Support.NATIVE} == {
        Aspect.PAGES: None,
        Aspect.VERSIONS: Support.ABSENT,
        Feature.PRESIGN: Support.ABSENT,
    }
    assert all(line.reason for line in lines.values())
    assert not [line for line in lines.values() if line.wrong or line.better]
    assert (held(store), list(store.uploads())) == ([], [])


def test_every_feature_and_aspect_has_one_line():
    lines, _ = probe(MemoryStore("m"))
    assert set(lines) == {*Feature, *Aspect}
    assert {name for name, line in lines.items() if line.declared is not None} == set(Feature)


class IgnoresConditions(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        return super().put(key, body, size=size, metadata=metadata or {})


class ReplacesWhatItRefuses(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        done = super().put
        try:
            return done(key, body, size=size, metadata=metadata or {}, if_absent=if_absent)
        except AlreadyExists:
            done(key, body, size=size)
            raise


class EmptiesWhatItRestates(MemoryStore):
    """Takes the copy of an object onto itself for a put of nothing."""

    def set_metadata(self, key, *, metadata):
        return self.put(key, b"", size=0, metadata=metadata)


class AddsMetadata(MemoryStore):
    def set_metadata(self, key, *, metadata):
        return super().set_metadata(key, metadata={**self.head(key).metadata, **metadata})


class RestatesNothing(MemoryStore):
    def set_metadata(self, key, *, metadata):
        return self.head(key)


class LooksBeforeItPuts(MemoryStore):
    """Looks whether there is an object, and then puts: writers at once all win."""

    def __init__(self):
        super().__init__("m")
        self.looked = threading.Barrier(8)

    def put(self, key, body, *, size, metadata=None, if_absent=False):
        if if_absent:
            there = key in held(self)
            if "/raced-" in key:
                self.looked.wait()
            if there:
                raise AlreadyExists("there is one")
        return super().put(key, body, size=size, metadata=metadata or {})


class TellsEverybodyNo(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        if if_absent and "/raced-" in key:
            raise AlreadyExists("there is one")
        return super().put(key, body, size=size, metadata=metadata or {}, if_absent=if_absent)


class RefusesConditions(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        if if_absent:
            raise NotSupported("501")
        return super().put(key, body, size=size, metadata=metadata or {})


class DropsMetadata(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        return super().put(key, body, size=size, if_absent=if_absent)


class ChangesMetadata(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        changed = {name: value.replace(";", "") for name, value in (metadata or {}).items()}
        return super().put(key, body, size=size, metadata=changed, if_absent=if_absent)


class KeepsOldMetadata(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        try:
            old = dict(self.head(key).metadata)
        except NotFound:
            old = {}
        return super().put(key, body, size=size, metadata={**old, **(metadata or {})}, if_absent=if_absent)


class ShiftsRanges(MemoryStore):
    def get(self, key, *, range=None):  # noqa: A002 - the port's word
        return super().get(key, range=range if range is None or not range[0] else (range[0] - 1, range[1] - 1))


class AnswersBeyondTheEnd(MemoryStore):
    def get(self, key, *, range=None):  # noqa: A002 - the port's word
        try:
            return super().get(key, range=range)
        except InvalidArgument:
            return super().get(key)


class CopiesNoMetadata(MemoryStore):
    def copy(self, source, destination):
        with self.get(source) as reader:
            data = reader.read()
        return self.put(destination, data, size=len(data))


class CopiesNothing(MemoryStore):
    def copy(self, source, destination):
        return self.head(source)


class Upload:
    """An upload that lies."""

    def __init__(self, inner, store):
        self._inner, self._store = inner, store
        self.id, self.key = inner.id, inner.key

    def __getattr__(self, name):
        return getattr(self._inner, name)


class JoinsInTheOrderGiven(MemoryStore):
    class Upload(Upload):
        def commit(self, parts):
            bodies = {part: self._store._shelf.pending[self.id].parts[part.number][1] for part in parts}
            self._inner.abort()
            whole = b"".join(bodies[part] for part in parts)
            return self._store.put(self.key, whole, size=len(whole))


class KeepsTheFirstSending(MemoryStore):
    class Upload(Upload):
        def part(self, number, body):
            for sent in self._inner.parts():
                if sent.number == number:
                    return sent
            return self._inner.part(number, body)


class JoinsWhatWasNeverSent(MemoryStore):
    class Upload(Upload):
        def commit(self, parts):
            known = {part.number for part in self._inner.parts()}
            return self._inner.commit([part for part in parts if part.number in known])


class ForgetsParts(MemoryStore):
    class Upload(Upload):
        def parts(self):
            return self._inner.parts()[1:]


class ShowsPartsEarly(MemoryStore):
    class Upload(Upload):
        def part(self, number, body):
            self._store.put(self.key, body, size=len(body))
            return self._inner.part(number, body)


class AbortsNothing(MemoryStore):
    class Upload(Upload):
        aborted = 0

        def abort(self):
            # Once: what clears away at the end is to succeed.
            type(self).aborted += 1
            if self.aborted > 1:
                self._inner.abort()


class RefusesOtherBytes(MemoryStore):
    class Upload(Upload):
        def part(self, number, body):
            if number in {part.number for part in self._inner.parts()}:
                raise StoreError("409")
            return self._inner.part(number, body)


for _lying in (
    JoinsInTheOrderGiven,
    KeepsTheFirstSending,
    JoinsWhatWasNeverSent,
    ForgetsParts,
    ShowsPartsEarly,
    AbortsNothing,
    RefusesOtherBytes,
):

    def _multipart(self, key, *, metadata=None, upload_id=None):
        inner = MemoryStore.multipart(self, key, metadata=metadata or {}, upload_id=upload_id)
        return self.Upload(inner, self)

    _lying.multipart = _multipart


class ListsLess(MemoryStore):
    def list(self, prefix="", *, delimiter=None, start_after=""):
        for page in super().list(prefix, delimiter=delimiter, start_after=start_after):
            yield Page(page.objects[1:] if len(page.objects) > 5 else page.objects, page.prefixes)


class ListsTheRemoved(MemoryStore):
    def list(self, prefix="", *, delimiter=None, start_after=""):
        for page in super().list(prefix, delimiter=delimiter, start_after=start_after):
            ghosts = [replace(page.objects[0], key=f"{prefix}B")] if prefix.endswith("/list/") and page.objects else []
            known = {info.key for info in page.objects}
            yield Page([*(g for g in ghosts if g.key not in known), *page.objects], page.prefixes)


class ListsInAnotherOrder(MemoryStore):
    def list(self, prefix="", *, delimiter=None, start_after=""):
        for page in super().list(prefix, delimiter=delimiter, start_after=start_after):
            yield Page(sorted(page.objects, key=lambda info: info.key.encode("utf-16-be")), page.prefixes)


class StartsWhereItLikes(MemoryStore):
    def list(self, prefix="", *, delimiter=None, start_after=""):
        return super().list(prefix, delimiter=delimiter)


class FoldsNothing(MemoryStore):
    def list(self, prefix="", *, delimiter=None, start_after=""):
        return super().list(prefix, start_after=start_after)


class LetsGo(MemoryStore):
    def retain(self, key, *, until):
        self.head(key)


class ReplacesWhatItRetains(MemoryStore):
    def retain(self, key, *, until):
        self.put(key, b"<Retention/>", size=12)
        super().retain(key, until=until)


class HasNoLocks(MemoryStore):
    def inspect(self):
        return Inspection(locks=False)


class FoldsCase(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        return super().put(self.folded(key), body, size=size, metadata=metadata or {}, if_absent=if_absent)

    def get(self, key, *, range=None):  # noqa: A002 - the port's word
        return super().get(self.folded(key), range=range)

    def delete(self, key):
        super().delete(self.folded(key))

    @staticmethod
    def folded(key):
        return key.replace("x.TXT", "x.txt")


class RefusesSpaces(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        if " " in key:
            raise InvalidArgument("no spaces")
        return super().put(key, body, size=size, metadata=metadata or {}, if_absent=if_absent)


class LosesTheOuter(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        if key.endswith("nest/below"):
            self.delete(key.removesuffix("/below"))
        return super().put(key, body, size=size, metadata=metadata or {}, if_absent=if_absent)


class RefusesTheInner(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        if key.endswith("nest/below"):
            raise StoreError("there is a file")
        return super().put(key, body, size=size, metadata=metadata or {}, if_absent=if_absent)


class KeepsVersions(MemoryStore):
    def inspect(self):
        return Inspection(versioned=True)


UNSAFE, ABSENT = Support.UNSAFE, Support.ABSENT


@pytest.mark.parametrize(
    ("lying", "name", "support", "reason"),
    [
        (IgnoresConditions, Feature.CONDITIONAL_PUT, UNSAFE, "ignored"),
        (ReplacesWhatItRefuses, Feature.CONDITIONAL_PUT, UNSAFE, "all the same"),
        (TellsEverybodyNo, Feature.CONDITIONAL_PUT, ABSENT, "none could write"),
        (RefusesConditions, Feature.CONDITIONAL_PUT, ABSENT, "501"),
        (DropsMetadata, Feature.METADATA, ABSENT, "not kept"),
        (ChangesMetadata, Feature.METADATA, UNSAFE, "changed or not at all: n2"),
        (KeepsOldMetadata, Feature.METADATA, UNSAFE, "keeps its old"),
        (EmptiesWhatItRestates, Feature.SET_METADATA, UNSAFE, "another body"),
        (AddsMetadata, Feature.SET_METADATA, UNSAFE, "stay"),
        (RestatesNothing, Feature.SET_METADATA, ABSENT, "not kept"),
        (ShiftsRanges, Feature.RANGE, UNSAFE, "bytes 100 to 199"),
        (AnswersBeyondTheEnd, Feature.RANGE, UNSAFE, "beyond the end"),
        (CopiesNoMetadata, Feature.COPY, UNSAFE, "loses the metadata"),
        (CopiesNothing, Feature.COPY, UNSAFE, "another body"),
        (JoinsInTheOrderGiven, Feature.MULTIPART, UNSAFE, "by number"),
        (KeepsTheFirstSending, Feature.MULTIPART, UNSAFE, "sent last"),
        (JoinsWhatWasNeverSent, Feature.MULTIPART, UNSAFE, "never sent"),
        (ForgetsParts, Feature.MULTIPART, UNSAFE, "other parts"),
        (ShowsPartsEarly, Feature.MULTIPART, UNSAFE, "before its parts"),
        (AbortsNothing, Feature.MULTIPART, UNSAFE, "still listed"),
        (ListsLess, Aspect.LISTING, UNSAFE, "of 11 names 10"),
        (ListsTheRemoved, Aspect.LISTING, UNSAFE, "still listed"),
        (ListsInAnotherOrder, Feature.ORDERED_LIST, ABSENT, "byte order"),
        (StartsWhereItLikes, Feature.ORDERED_LIST, UNSAFE, "go on where"),
        (FoldsNothing, Feature.DELIMITER, UNSAFE, "folded"),
        (LetsGo, Feature.RETENTION, UNSAFE, "can be removed"),
        (ReplacesWhatItRetains, Feature.RETENTION, UNSAFE, "another now"),
        (HasNoLocks, Feature.RETENTION, ABSENT, "without locks"),
        (FoldsCase, Aspect.KEYS, UNSAFE, "changed: `x.TXT`"),
        (RefusesSpaces, Aspect.KEYS, ABSENT, "refused: `with space/and space`; "),
        (LosesTheOuter, Aspect.NESTED, UNSAFE, "replaces the other"),
        (RefusesTheInner, Aspect.NESTED, ABSENT, "refused"),
        (KeepsVersions, Aspect.VERSIONS, Support.NATIVE, "stays"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_lie(lying, name, support, reason):
    store = lying("m")
    honest, _ = probe(MemoryStore("m"))
    lines, left = probe(store)
    assert (lines[name].support, left) == (support, ())
    assert reason in lines[name].reason
    others = {other for other in honest if lines[other].support is not honest[other].support} - {name}
    # Without names in listings there are no order and no names to be held.
    follows = {Aspect.LISTING: {Feature.ORDERED_LIST, Feature.DELIMITER, Aspect.KEYS, Aspect.PAGES}}
    assert others <= follows.get(name, {Aspect.VERSIONS} if lying in {HasNoLocks, KeepsVersions} else set())
    assert list(store.uploads()) == []
    assert held(store) == []


def test_writers_at_once_that_all_win():
    lines, _ = probe(LooksBeforeItPuts())
    found = lines[Feature.CONDITIONAL_PUT]
    assert found.support is UNSAFE
    assert "of 8 writers at once 8 were told" in found.reason


def test_a_part_that_may_not_be_replaced_is_no_lie():
    lines, _ = probe(RefusesOtherBytes("m"))
    assert lines[Feature.MULTIPART].support is Support.NATIVE


def test_what_is_declared_and_not_there_is_wrong_and_what_is_there_and_not_declared_is_better():
    lines, _ = probe(IgnoresConditions("m"))
    assert [name for name, line in lines.items() if line.wrong] == [Feature.CONDITIONAL_PUT]
    lines, _ = probe(FoldsCase("m"))
    assert [name for name, line in lines.items() if line.wrong] == [Aspect.KEYS]

    def claimed(settings):
        store = MemoryStore("m")
        if settings.keys() - set(Feature):
            raise ConfigError("no such setting")
        declared = {**store.capabilities, Feature.COPY: Support.ABSENT, Feature.RANGE: Support.EMULATED}
        store.capabilities = {**declared, **{Feature(name): Support(value) for name, value in settings.items()}}
        return Confined(store)

    found = find_out(claimed, installation=OWN, hold=HOLD)
    by_name = {line.name: line for line in found.lines}
    assert [name for name, line in by_name.items() if line.better] == [Feature.COPY]
    assert by_name[Feature.COPY].support is Support.NATIVE
    assert by_name[Feature.RANGE].support is Support.EMULATED
    # It was claimed, and tried: a store without a server fails at it.
    assert by_name[Feature.PRESIGN].support is Support.ABSENT
    assert "no links" in by_name[Feature.PRESIGN].reason


def test_an_order_that_the_adapter_can_make_is_emulated():
    shared = ListsInAnotherOrder("m")

    def open_with(settings):
        if settings.keys() - {Feature.ORDERED_LIST}:
            raise ConfigError("no such setting")
        if settings.get(Feature.ORDERED_LIST) == Support.EMULATED:
            honest = MemoryStore("m")
            honest._shelf = shared._shelf
            return Confined(honest)
        return Confined(shared)

    found = find_out(open_with, installation=OWN, hold=HOLD)
    line = next(line for line in found.lines if line.name == Feature.ORDERED_LIST)
    assert (line.support, line.declared) == (Support.EMULATED, Support.NATIVE)
    assert "sorted" in line.reason


def test_pages_are_made_small_where_that_can_be_said():
    asked = []
    shared = MemoryStore("m")

    def open_with(settings):
        if settings.keys() - {"page"}:
            raise ConfigError("no such setting")
        asked.append(dict(settings))
        return Confined(ListsLess("m") if settings and not shared else shared)

    lines = {line.name: line for line in find_out(open_with, installation=OWN, hold=HOLD).lines}
    assert lines[Aspect.PAGES].support is Support.NATIVE
    assert {"page": 3} in asked


class Extras(MemoryStore):
    def replace(self, key):
        self.put(key, b"<Tagging/>", size=10)

    def forbid(self, key):
        raise NotSupported("501")

    def sub_resources(self):
        return {"tag": self.replace, "rights": self.head, "hold": self.forbid}

    def look(self, key, data):
        raise Unavailable("bad digest")

    def unknown(self, key, data):
        raise NotSupported("501")

    def wrong_digests(self):
        return {"md5": self.look, "sha": lambda key, data: self.put(key, data, size=len(data)), "crc": self.unknown}


def test_calls_beside_the_port():
    lines, left = probe(Extras("m"))
    assert left == ()
    found = {name: lines[name].support for name in ("tag", "rights", "hold", "md5", "sha", "crc")}
    assert found == {
        "tag": UNSAFE,
        "rights": Support.NATIVE,
        "hold": ABSENT,
        "md5": Support.NATIVE,
        "sha": ABSENT,
        "crc": ABSENT,
    }
    # Nobody promised them.
    assert not [line for line in lines.values() if line.wrong]


class Damages(MemoryStore):
    def get(self, key, *, range=None):  # noqa: A002 - the port's word
        info, data = self._shelf.find(key)
        return BytesReader(info, data[:-1] + b"?" if data else data, offset=0, length=len(data))


def test_a_store_that_gives_back_something_else_is_not_asked_for_more():
    store = Damages("m")
    lines, _ = probe(store)
    assert {name: line.support for name, line in lines.items()} == {Aspect.BODIES: UNSAFE}
    assert [name for name, line in lines.items() if line.wrong] == [Aspect.BODIES]
    assert held(store) == []


class Down(MemoryStore):
    def put(self, key, body, *, size, metadata=None, if_absent=False):
        raise Unavailable("no answer", target="m")


def test_a_store_that_does_not_answer_has_no_matrix():
    with pytest.raises(Unavailable, match="no answer"):
        probe(Down("m"))


class Faltering(MemoryStore):
    """Fails once, or for ever, at a copy."""

    def __init__(self, times):
        super().__init__("m")
        self.left = times

    def copy(self, source, destination):
        self.left -= 1
        if self.left >= 0:
            raise Unavailable("try later")
        return super().copy(source, destination)


def test_one_failure_is_not_taken_for_a_no():
    lines, _ = probe(Faltering(1))
    assert lines[Feature.COPY].support is Support.NATIVE


def test_what_nobody_answers_is_not_known_and_not_relied_on():
    lines, _ = probe(Faltering(9))
    assert lines[Feature.COPY].support is None
    assert "try later" in lines[Feature.COPY].reason
    assert lines[Feature.COPY].wrong


class Skewed(MemoryStore):
    def inspect(self):
        return Inspection(skew=timedelta(minutes=9))


def test_what_needs_a_clock_is_not_judged_by_a_wrong_one():
    lines, _ = probe(Skewed("m"))
    assert lines[Feature.RETENTION].support is None
    assert "clocks differ" in lines[Feature.RETENTION].reason


def test_a_short_key_room():
    lines, _ = probe(MemoryStore("m", limits=Limits(part_min=1, key_max=200)))
    assert lines[Aspect.KEYS].support is Support.NATIVE
    assert "up to 200 bytes" in lines[Aspect.KEYS].reason


# --- what is left behind


class Breaks(MemoryStore):
    """Raises something unforeseen in the middle."""

    def copy(self, source, destination):
        raise KeyboardInterrupt


def test_a_probe_that_is_stopped_leaves_nothing():
    store = Breaks("m")
    with pytest.raises(KeyboardInterrupt):
        probe(store)
    assert (held(store), list(store.uploads())) == ([], [])


def key(installation, name="whole"):
    return f"{PREFIX}{installation}-fedcba9876543210/{name}"


def test_what_a_killed_probe_left_goes_with_the_next_and_nothing_else_does():
    store = MemoryStore("m")
    store.put(key(OWN), body(5), size=5)
    store.multipart(key(OWN, "joined")).part(1, body(5))
    foreign, theirs = key("f" * 16), f"{PREFIX}patients/42@06h0"
    for name in (foreign, theirs, "patients/42@06h0"):
        store.put(name, b"stays", size=5)
    pending = store.multipart(key("f" * 16, "joined"))
    _, left = probe(store)
    assert left == ()
    assert sorted(held(store)) == sorted([foreign, theirs, "patients/42@06h0"])
    assert [upload.id for upload in store.uploads()] == [pending.id]


def test_what_another_installation_left_goes_after_a_day():
    store = MemoryStore("m")
    foreign = key("f" * 16)
    store.put(foreign, body(5), size=5)
    info, data = store._shelf.objects[foreign]
    store._shelf.objects[foreign] = (replace(info, modified=info.modified - timedelta(hours=25)), data)
    probe(store)
    assert held(store) == []


class KeepsEverything(MemoryStore):
    def delete(self, key):
        if key.endswith("/whole"):
            super().delete(key)
        elif not key.endswith(("copied", "absent", "joined", "dropped", "B")) and "raced" not in key:
            raise StoreError("no")


def test_what_cannot_be_removed_is_named():
    store = KeepsEverything("m")
    _, left = probe(store)
    assert left
    assert set(left) >= {name for name in held(store) if name.endswith("span")}
