"""What services and networks do to Swift's requests, and what becomes of it: our errors, and never a wrong object."""

import dataclasses
import io
import json

import pytest

from sovbroker.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)
from sovbroker.testing.chaos import ChaosProxy, Cut, Flip, Reset, Side, Stall, Status, Truncate
from sovbroker.testing.objects import ObjectService
from sovbroker_adapters.swift import build

BODY = bytes(range(256)) * 1000
JSON = (("Content-Type", "application/json"),)


@pytest.fixture(scope="module")
def service():
    with ObjectService() as service:
        yield service


@pytest.fixture
def proxy(service):
    with ChaosProxy(service.server.host) as proxy:
        yield proxy


@pytest.fixture
def opened(service, bucket, proxy):
    """A function that opens the test's container through the proxy, with settings, and has got a token."""
    service.server.create_container(bucket)
    stores = []

    def open_container(*, container=bucket, **settings):
        made = {name.replace("_", "-"): value for name, value in settings.items()}
        made = {"attempts": 1, "read-timeout": 5, "authority": f"{proxy.url}/auth/v1.0"} | made
        binding = service.server.binding(container, settings=made)
        stores.append(build(dataclasses.replace(binding, endpoint=proxy.url, hosts=frozenset({proxy.host}))))
        stores[-1]._connection.login()
        return stores[-1]

    yield open_container
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    return opened()


@pytest.fixture
def names(service, bucket):
    """A function that returns the names of everything in the test's container."""
    return lambda: service.names(bucket)


def load(store, key, **asked):
    with store.get(key, **asked) as reader:
        return reader.read()


def joined(store, key, *bodies, **given):
    """Put a large object."""
    upload = store.multipart(key, **given)
    upload.commit([upload.part(number, body) for number, body in enumerate(bodies, start=1)])
    return upload


def many(store):
    for error in store.delete_many(["object", "other"]).values():
        raise error


CALLS = {
    "head": lambda store: store.head("object"),
    "get": lambda store: store.get("object").close(),
    "range": lambda store: store.get("object", range=(0, 1)).close(),
    "put": lambda store: store.put("object", b"new", size=3),
    "source": lambda store: store.put("object", io.BytesIO(b"new"), size=3),
    "empty": lambda store: store.put("object", b"", size=0),
    "if_absent": lambda store: store.put("object", b"new", size=3, if_absent=True),
    "delete": lambda store: store.delete("object"),
    "delete_many": many,
    "list": lambda store: list(store.list()),
    "folded": lambda store: list(store.list("a/b", delimiter="/")),
    "copy": lambda store: store.copy("object", "copied"),
    "multipart": lambda store: store.multipart("object"),
    "part": lambda store: store.multipart("object", upload_id="0" * 32).part(1, b"x"),
    "parts": lambda store: store.multipart("object", upload_id="0" * 32).parts(),
    "abort": lambda store: store.multipart("object", upload_id="0" * 32).abort(),
    "uploads": lambda store: list(store.uploads()),
    "inspect": lambda store: store.inspect(),
}
FORBIDDEN = Status(403, b"<html>Forbidden</html>")
ANSWERS = [
    (Status(400), StoreError),
    (Status(401), PermissionDenied),
    (FORBIDDEN, PermissionDenied),
    (Status(404), NotFound),
    (Status(405), NotSupported),
    (Status(407), PermissionDenied),
    (Status(408), Unavailable),
    (Status(409), Unavailable),
    (Status(410), NotFound),
    (Status(412), StoreError),
    (Status(413), InvalidArgument),
    (Status(414), InvalidArgument),
    (Status(422), Unavailable),
    (Status(429), Unavailable),
    (Status(431), InvalidArgument),
    (Status(498), Unavailable),
    (Status(500, b"x" * 200_000), Unavailable),
    (Status(501), NotSupported),
    (Status(502, b"<html>Bad Gateway</html>"), Unavailable),
    (Status(503), Unavailable),
    (Status(507), Unavailable),
    (Status(599, b"\x00\xff\xfe garbage"), Unavailable),
    (Status(999), Unavailable),
    (Status(301, b"", (("Location", "http://127.0.0.1:1/elsewhere"),)), StoreError),
    (Status(302, b"", (("Location", "http://[broken"),)), StoreError),
    (Status(304), StoreError),
    (Status(307, b"", (("Location", "/elsewhere"),)), StoreError),
    (Reset(), Unavailable),
    (Reset(on=Side.REQUEST), Unavailable),
]


@pytest.mark.parametrize("call", CALLS)
def test_every_failure_of_every_call_is_one_of_ours(opened, proxy, call):
    store = opened(conditional_put="native")
    for fault, expected in ANSWERS:
        proxy.always(None)
        store._connection.login()
        proxy.always(fault)
        if call == "inspect" and fault == FORBIDDEN:
            # That nobody is let in is an answer, too.
            assert (store.inspect().public, store.inspect().versioned) == (False, None)
            continue
        kind = expected
        if isinstance(fault, Status) and fault.code == 302:
            # The library reads the address of a redirect, although nobody follows it.
            kind = (StoreError, Unavailable)
        with pytest.raises(kind) as caught:
            CALLS[call](store)
        if expected is StoreError and kind is StoreError and fault.code not in {400, 412}:
            assert type(caught.value) is StoreError, fault
        if expected is not InvalidArgument:
            assert caught.value.target == "test"
            assert "testing" not in str(caught.value) + repr(caught.value.__cause__)


UNASKED = [(call, code) for call in CALLS for code in (200, 202, 206, 207)]


@pytest.mark.parametrize("answer", [b"", b"<html>portal</html>", b'{"a": 1}'])
@pytest.mark.parametrize(("call", "code"), UNASKED)
def test_a_success_that_nobody_asked_for_is_none(opened, proxy, call, answer, code):
    store = opened(conditional_put="native")
    proxy.always(Status(code, answer))
    with pytest.raises(Unavailable):
        CALLS[call](store)


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_container_is_named(opened, call):
    store = opened(container="never-made", conditional_put="native")
    with pytest.raises(NotFound, match="no container `never-made`") as caught:
        CALLS[call](store)
    assert caught.value.key is None


@pytest.mark.parametrize("call", CALLS)
def test_a_stalled_answer_ends_in_time(opened, proxy, call):
    store = opened(read_timeout=1, conditional_put="native")
    proxy.always(Stall())
    with pytest.raises(Unavailable):
        CALLS[call](store)


BODIES = pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "source"])


@pytest.mark.parametrize("fault", [Cut(100), Cut(0), Flip(5), Reset(on=Side.REQUEST), Reset(), Status(507)])
@BODIES
def test_a_body_that_did_not_arrive_is_no_success(store, proxy, fault, streamed):
    proxy.script(*([None] if streamed else []), fault)
    with pytest.raises(Unavailable):
        store.put("object", io.BytesIO(BODY) if streamed else BODY, size=len(BODY))


@pytest.mark.parametrize("fault", [Cut(100), Cut(0), Flip(5)])
def test_bytes_that_were_damaged_on_the_way_are_not_stored(store, proxy, names, fault):
    proxy.script(fault)
    with pytest.raises(Unavailable):
        store.put("object", BODY, size=len(BODY))
    assert names() == []


def test_a_store_that_tells_no_digest_is_asked_for_the_size(store, proxy):
    store.put("object", b"older", size=5)
    proxy.script(Status(201))
    with pytest.raises(Unavailable, match="5 bytes of the 3"):
        store.put("object", b"new", size=3)
    proxy.script(Status(201))
    store.put("object", b"newer", size=5)


def test_a_put_is_made_again_when_its_answer_is_lost(opened, proxy):
    store = opened(attempts=2)
    proxy.script(Reset())
    store.put("object", BODY, size=len(BODY))
    assert load(store, "object") == BODY


@pytest.mark.parametrize("if_absent", [False, True])
def test_what_must_not_be_sent_again_is_not(opened, proxy, if_absent):
    store = opened(attempts=3, conditional_put="native")
    proxy.script(*([] if if_absent else [None]), Status(503))
    before = len(proxy.seen)
    with pytest.raises(Unavailable):
        store.put("object", b"new" if if_absent else io.BytesIO(b"new"), size=3, if_absent=if_absent)
    assert [seen.method for seen in proxy.seen[before:]].count("PUT") == 1


def test_an_object_that_is_there_stays_with_if_absent(opened):
    store = opened(conditional_put="native")
    store.put("a/object", b"first", size=5, if_absent=True)
    with pytest.raises(AlreadyExists) as caught:
        store.put("a/object", b"second", size=6, if_absent=True)
    assert (caught.value.target, caught.value.key) == ("test", "a/object")
    assert load(store, "a/object") == b"first"


def test_if_absent_is_unsafe_until_somebody_says_otherwise(store, proxy):
    before = len(proxy.seen)
    with pytest.raises(NotSupported, match="unsafe"):
        store.put("object", b"x", size=1, if_absent=True)
    assert len(proxy.seen) == before


@pytest.mark.parametrize("fault", [Truncate(1000), Reset(after=1000), Stall(after=1000), Truncate(0)])
@pytest.mark.parametrize("piece", [-1, 4096])
@pytest.mark.parametrize("large", [False, True])
def test_a_body_that_breaks_off_is_no_shorter_object(opened, proxy, fault, piece, large):
    store = opened(read_timeout=1)
    if large:
        joined(store, "object", BODY[:1000], BODY[1000:])
    else:
        store.put("object", BODY, size=len(BODY))
    proxy.script(fault)
    came = []
    with store.get("object") as reader, pytest.raises(Unavailable):
        came.extend(iter(lambda: reader.read(piece), b""))
    assert len(b"".join(came)) < len(BODY)
    assert load(store, "object") == BODY


@pytest.mark.parametrize("piece", [-1, 4096])
def test_a_body_that_was_changed_on_its_way_is_not_given_whole(store, proxy, piece):
    store.put("object", BODY, size=len(BODY))
    proxy.script(Flip(77_777, on=Side.ANSWER))
    came = []
    with store.get("object") as reader, pytest.raises(Unavailable, match="digest"):
        came.extend(iter(lambda: reader.read(piece), b""))
    assert len(b"".join(came)) < len(BODY)


NAMED = ("Etag", "0" * 32)
ODD = {
    "no length": Status(200, b"5\r\nhello\r\n0\r\n\r\n", (("Transfer-Encoding", "chunked"), NAMED)),
    "no content": Status(204, b""),
    "no ETag": Status(206, b"el", (("Content-Range", "bytes 1-2/5"),)),
    "no range": Status(206, b"el", (NAMED,)),
    "another range": Status(206, b"el", (("Content-Range", "bytes 2-3/5"), NAMED)),
    "shorter range": Status(206, b"e", (("Content-Range", "bytes 1-1/5"), NAMED)),
    "wrong length": Status(206, b"ell", (("Content-Range", "bytes 1-2/5"), NAMED)),
    "unknown size": Status(206, b"el", (("Content-Range", "bytes 1-2/*"), NAMED)),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_answer_to_another_question_is_none(store, proxy, odd):
    proxy.always(ODD[odd])
    with pytest.raises(Unavailable):
        load(store, "object", range=(1, 2))


def test_a_service_that_does_not_know_ranges_is_read_all_the_same(store, proxy):
    proxy.always(Status(200, b"hello", (("Etag", "0" * 32),)))
    assert load(store, "object", range=(1, 2)) == b"el"
    with pytest.raises(InvalidArgument):
        store.get("object", range=(5, 6))


def listed(*entries):
    return Status(200, json.dumps(entries).encode(), JSON)


LIES = {
    "no list": Status(200, b'{"name": "a", "bytes": 1}', JSON),
    "no JSON": Status(200, b"[{", JSON),
    "no entry": Status(200, b"[7]", JSON),
    "no name": listed({"bytes": 1}),
    "no size": listed({"name": "a"}),
    "no number": listed({"name": "a", "bytes": "1"}),
    "no order": listed({"name": "b", "bytes": 1}, {"name": "a", "bytes": 1}),
    "the same twice": listed({"name": "a", "bytes": 1}, {"name": "a", "bytes": 1}),
    "no end": listed({"name": "a", "bytes": 1}),
    "too deep": Status(200, b"[" * 200_000, JSON),
}


@pytest.mark.parametrize("wrong", LIES)
def test_a_listing_that_lies_is_none(store, proxy, wrong):
    proxy.always(LIES[wrong])
    with pytest.raises(Unavailable):
        list(store.list())


def test_a_short_page_is_not_the_end(store, proxy):
    proxy.script(listed({"name": "a", "bytes": 1}), listed({"name": "b", "bytes": 2}), listed())
    assert [info.key for page in store.list() for info in page.objects] == ["a", "b"]


def test_what_is_ours_is_passed_over_in_one_step(store, proxy, monkeypatch):
    monkeypatch.setattr("sovbroker_adapters.swift.listing.PAGE", 4)
    for key in ("!", "a", "z/1"):
        store.put(key, b"x", size=1)
    for number in range(3):
        joined(store, f"large-{number}", *[b"part"] * 4)
    before = len(proxy.seen)
    expected = ["!", "a", "large-0", "large-1", "large-2", "z/1"]
    assert [info.key for page in store.list() for info in page.objects] == expected
    # What sorts before them, twice what sorts after them, and the end.
    assert len(proxy.seen) - before == 4
    folded = list(store.list(delimiter="/"))
    assert [name for page in folded for name in page.prefixes] == ["z/"]
    assert list(store.list(".sovbroker-uploads/")) == []
    assert list(store.list(".sovbroker-uploads", delimiter="/")) == []
    assert [name for page in store.list(delimiter="-") for name in page.prefixes] == ["large-"]


def test_redirects_are_not_followed(store, proxy, service):
    for code in (301, 302, 303, 307, 308):
        proxy.always(Status(code, b"", (("Location", f"{service.server.url}/v1/AUTH_test/other"),)))
        before = len(proxy.seen)
        with pytest.raises(StoreError, match="redirects are not followed"):
            store.get("object")
        assert len(proxy.seen) == before + 1


def test_a_token_that_is_refused_is_renewed_once(store, proxy, service):
    store.put("object", b"x", size=1)
    service.expire()
    before = len(proxy.seen)
    assert load(store, "object") == b"x"
    assert [seen.target.split("/")[1] for seen in proxy.seen[before:]] == ["v1", "auth", "v1"]
    service.expire()
    store.put("object", b"new", size=3)
    service.expire()
    store.put("object", io.BytesIO(b"newer"), size=5)
    assert load(store, "object") == b"newer"
    proxy.script(Status(401), None, Status(401))
    before = len(proxy.seen)
    with pytest.raises(PermissionDenied):
        store.get("object")
    assert len(proxy.seen) == before + 3


def test_a_source_whose_token_was_refused_may_come_again(store, proxy):
    proxy.script(None, Status(401))
    with pytest.raises(Unavailable, match="read only once"):
        store.put("object", io.BytesIO(b"new"), size=3)
    store.put("object", io.BytesIO(b"new"), size=3)
    assert load(store, "object") == b"new"


TOKENS = {
    "no token": (Status(200, b"", (("X-Storage-Url", "{url}/v1/a"),)), Unavailable),
    "no place": (Status(200, b"", (("X-Auth-Token", "t"),)), PermissionDenied),
    "a place elsewhere": (
        Status(200, b"", (("X-Auth-Token", "t"), ("X-Storage-Url", "http://elsewhere.example/v1/a"))),
        PermissionDenied,
    ),
    "refused": (Status(401), PermissionDenied),
    "missing": (Status(404), StoreError),
    "a redirect": (Status(302, b"", (("Location", "http://127.0.0.1:1/"),)), StoreError),
    "too many": (Status(429), Unavailable),
    "broken": (Status(500), Unavailable),
    "nothing": (Reset(), Unavailable),
    "long": (Status(200, b"x" * 5_000_000), Unavailable),
}


@pytest.mark.parametrize("answer", TOKENS)
def test_what_may_become_of_the_question_for_a_token(opened, proxy, answer):
    store = opened()
    store.close()
    fault, kind = TOKENS[answer]
    if isinstance(fault, Status):
        headers = tuple((name, value.replace("{url}", proxy.url)) for name, value in fault.headers)
        fault = dataclasses.replace(fault, headers=headers)
    proxy.always(fault)
    before = len(proxy.seen)
    with pytest.raises(kind) as caught:
        store.put("object", b"x", size=1)
    assert caught.value.target == "test"
    assert "testing" not in str(caught.value)
    assert {seen.target for seen in proxy.seen[before:]} == {"/auth/v1.0"}


def test_the_question_for_a_token_is_put_again(opened, proxy):
    store = opened(attempts=2)
    store.close()
    proxy.script(Status(503), None)
    store.put("object", io.BytesIO(b"x"), size=1)
