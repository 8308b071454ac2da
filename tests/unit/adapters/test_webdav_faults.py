"""What servers and networks do to WebDAV requests, and what becomes of it: our errors, and never a wrong object."""

import base64
import dataclasses
import hashlib
import http.client
import io
import urllib.parse
from datetime import UTC, datetime, timedelta

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
from sovbroker.testing.chaos import ChaosProxy, Cut, Duplicate, Flip, Reset, Side, Status
from sovbroker.testing.webdav import rclone_webdav
from sovbroker_adapters.webdav import build

BODY = bytes(range(256)) * 1000
XML = (("Content-Type", "application/xml"),)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with rclone_webdav(tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture
def proxy(server):
    with ChaosProxy(server.host) as proxy:
        yield proxy


@pytest.fixture
def opened(server, bucket, proxy):
    """A function that opens the test's folder through the proxy, with settings."""
    server.create_folder(bucket)
    stores = []

    def open_folder(*, container=bucket, **settings):
        made = {name.replace("_", "-"): value for name, value in settings.items()}
        binding = server.binding(container, settings={"attempts": 1, "read-timeout": 5, "etags": "opaque"} | made)
        stores.append(build(dataclasses.replace(binding, endpoint=proxy.url, hosts=frozenset({proxy.host}))))
        return stores[-1]

    yield open_folder
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    return opened()


@pytest.fixture
def raw(server, bucket):
    """A function that asks the server about a path in the test's folder, as another client may; returns the status."""
    pair = base64.b64encode(f"{server.username}:{server.password}".encode()).decode()

    def ask(method, path="", body=None):
        connection = http.client.HTTPConnection(server.host, timeout=30)
        connection.request(method, f"/{bucket}/{path}", body=body, headers={"Authorization": f"Basic {pair}"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    return ask


@pytest.fixture
def waiting(server, bucket):
    """A function that returns the bodies that wait in the test's folder."""
    return lambda: sorted(path.name for path in (server.folder / bucket / "=new").glob("*"))


def load(store, key, **asked):
    with store.get(key, **asked) as reader:
        return reader.read()


def after_making(store, proxy, *faults):
    """Script faults for the requests of a put that come after the first `MKCOL`."""
    store.put("before", b"", size=0)
    proxy.script(*faults)


def many(store):
    for error in store.delete_many(["object", "other"]).values():
        raise error


CALLS = {
    "head": lambda store: store.head("object"),
    "get": lambda store: store.get("object").close(),
    "range": lambda store: store.get("object", range=(0, 1)).close(),
    "put": lambda store: store.put("object", b"new", size=3),
    "deep": lambda store: store.put("deep/object", b"new", size=3),
    "source": lambda store: store.put("object", io.BytesIO(b"new"), size=3),
    "empty": lambda store: store.put("object", b"", size=0),
    "if_absent": lambda store: store.put("object", b"new", size=3, if_absent=True),
    "delete": lambda store: store.delete("object"),
    "delete_many": many,
    "list": lambda store: list(store.list()),
    "below": lambda store: list(store.list("a/b")),
    "copy": lambda store: store.copy("object", "copied"),
}
ANSWERS = [
    (Status(403, b"<d:error xmlns:d='DAV:'/>", XML), PermissionDenied),
    (Status(407), PermissionDenied),
    (Status(409), Unavailable),
    (Status(410), NotFound),
    (Status(413), InvalidArgument),
    (Status(414), InvalidArgument),
    (Status(423), Unavailable),
    (Status(431), InvalidArgument),
    (Status(500, b"x" * 200_000), Unavailable),
    (Status(502, b"<html>Bad Gateway</html>"), Unavailable),
    (Status(599, b"\x00\xff\xfe garbage"), Unavailable),
    (Status(999), Unavailable),
    (Status(301, b"", (("Location", "http://127.0.0.1:1/elsewhere"),)), StoreError),
    (Status(302, b"", (("Location", "http://[broken"),)), StoreError),
    (Status(304), StoreError),
    (Status(307, b"", (("Location", "/elsewhere"),)), StoreError),
]


@pytest.mark.parametrize("call", CALLS)
def test_every_failure_of_every_call_is_one_of_ours(opened, proxy, call):
    store = opened(conditional_put="native")
    for fault, expected in ANSWERS:
        proxy.always(fault)
        kind = expected
        if isinstance(fault, Status) and fault.code == 302:
            # The SDK reads the address of a redirect, although nobody follows it.
            kind = (StoreError, Unavailable)
        with pytest.raises(kind) as caught:
            CALLS[call](store)
        if expected is StoreError and kind is StoreError and fault.code != 412:
            assert type(caught.value) is StoreError, fault
        if expected is not InvalidArgument:
            assert caught.value.target == "test"
            assert "not-a-secret" not in str(caught.value) + repr(caught.value.__cause__)


# With a status 200, these have their object, or have deleted it.
PLAIN = {"get", "range", "delete", "delete_many"}
UNASKED = [(call, code) for call in CALLS for code in (200, 202, 207) if code != 200 or call not in PLAIN]


@pytest.mark.parametrize("answer", [b"", b"<html>portal</html>", b"<d:multistatus xmlns:d='DAV:'/>"])
@pytest.mark.parametrize(("call", "code"), UNASKED)
def test_a_success_that_nobody_asked_for_is_none(opened, proxy, call, answer, code):
    store = opened(conditional_put="native")
    proxy.always(Status(code, answer))
    with pytest.raises(Unavailable):
        CALLS[call](store)


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_folder_is_named(opened, call):
    store = opened(container="never/made", conditional_put="native")
    with pytest.raises(NotFound, match=r"no folder `never/made`") as caught:
        CALLS[call](store)
    assert caught.value.key is None


@pytest.mark.parametrize("call", sorted(set(CALLS) - {"delete_many", "deep", "empty", "source", "below"}))
def test_a_folder_that_was_removed_is_named(opened, raw, call):
    store = opened(conditional_put="native")
    store.put("object", b"old", size=3)
    assert raw("DELETE") == 204
    with pytest.raises(NotFound, match="no folder") as caught:
        CALLS[call](store)
    assert caught.value.key is None


BODIES = pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "source"])


@pytest.mark.parametrize("fault", [Cut(100), Cut(0), Flip(5), Reset(on=Side.REQUEST), Reset(), Status(507)])
@BODIES
def test_a_body_that_did_not_arrive_changes_nothing(store, proxy, waiting, fault, streamed):
    store.put("object", b"old", size=3)
    proxy.script(fault)
    with pytest.raises(Unavailable):
        store.put("object", io.BytesIO(BODY) if streamed else BODY, size=len(BODY))
    assert load(store, "object") == b"old"
    assert waiting() == []


@pytest.mark.parametrize("keep", [0, 100, len(BODY) - 1])
def test_a_body_that_was_cut_is_found_out_by_its_length_alone(opened, proxy, keep):
    store = opened(digests="none")
    after_making(store, proxy, Cut(keep))
    with pytest.raises(Unavailable, match="something else"):
        store.put("object", BODY, size=len(BODY))
    with pytest.raises(NotFound):
        store.head("object")


@BODIES
def test_an_answer_that_breaks_off_after_its_status_has_said_it_all(store, proxy, streamed):
    store.put("object", b"old", size=3)
    proxy.script(Reset(after=0))
    store.put("object", io.BytesIO(BODY) if streamed else BODY, size=len(BODY))
    assert load(store, "object") == BODY


def test_a_put_is_made_again_when_its_answer_is_lost(opened, proxy, waiting):
    store = opened(attempts=2)
    after_making(store, proxy, Reset())
    store.put("object", BODY, size=len(BODY))
    assert load(store, "object") == BODY
    assert waiting() == []


def test_a_source_is_not_sent_again(opened, proxy):
    store = opened(attempts=3)
    after_making(store, proxy, Status(503))
    with pytest.raises(Unavailable):
        store.put("object", io.BytesIO(b"once"), size=4)
    with pytest.raises(NotFound):
        store.head("object")


@pytest.mark.parametrize("if_absent", [False, True])
def test_a_move_whose_answer_was_lost_is_found_out_to_have_happened(opened, proxy, if_absent):
    store = opened(attempts=2, conditional_put="native")
    after_making(store, proxy, None, None, Reset())
    store.put("object", BODY, size=len(BODY), if_absent=if_absent)
    assert load(store, "object") == BODY
    assert [seen.method for seen in proxy.seen].count("MOVE") == 2


@pytest.mark.parametrize("if_absent", [False, True])
def test_a_move_that_did_not_happen_is_made_again(opened, proxy, if_absent):
    store = opened(attempts=2, conditional_put="native")
    after_making(store, proxy, None, None, Status(503))
    store.put("object", BODY, size=len(BODY), if_absent=if_absent)
    assert load(store, "object") == BODY


def test_a_move_that_fails_leaves_the_old_object(store, proxy, waiting):
    store.put("object", b"old", size=3)
    proxy.script(None, None, Status(500))
    with pytest.raises(Unavailable):
        store.put("object", b"new", size=3)
    assert load(store, "object") == b"old"
    assert waiting() == []


def test_a_move_that_the_network_doubled_is_not_reported_as_done_when_the_object_is_gone(store, proxy):
    after_making(store, proxy, None, None, Duplicate())
    with pytest.raises(Unavailable, match="lost it on the way"):
        store.put("object", b"new", size=3)
    with pytest.raises(NotFound):
        store.head("object")


def test_an_object_that_is_there_stays_with_if_absent(opened, waiting):
    store = opened(conditional_put="native")
    store.put("a/object", b"first", size=5, if_absent=True)
    with pytest.raises(AlreadyExists) as caught:
        store.put("a/object", b"second", size=6, if_absent=True)
    assert (caught.value.target, caught.value.key) == ("test", "a/object")
    assert load(store, "a/object") == b"first"
    assert waiting() == []


def test_a_folder_that_another_client_removed_is_made_again(store, raw):
    store.put("a/b/object", b"old", size=3)
    assert raw("DELETE", "a=/") == 204
    store.put("a/b/object", b"new", size=3)
    assert load(store, "a/b/object") == b"new"
    assert raw("DELETE", "=new/") == 204
    store.put("a/b/object", b"newer", size=5)
    assert load(store, "a/b/object") == b"newer"
    assert raw("DELETE", "=new/") == 204
    store.copy("a/b/object", "copy")
    assert load(store, "copy") == b"newer"


def test_a_source_that_finds_no_place_to_wait_may_come_again(store, raw):
    store.put("object", b"old", size=3)
    assert raw("DELETE", "=new/") == 204
    with pytest.raises(Unavailable):
        store.put("object", io.BytesIO(b"new"), size=3)
    assert load(store, "object") == b"old"
    store.put("object", io.BytesIO(b"new"), size=3)
    assert load(store, "object") == b"new"


@pytest.mark.parametrize("call", ["get", "head", "range"])
def test_an_object_that_is_just_being_replaced_is_waited_for(store, proxy, raw, call):
    store.put("object", b"there", size=5)
    mark = hashlib.sha256(b"object").hexdigest()[:32]
    assert raw("PUT", f"=new/{mark}-{'0' * 32}", b"comes") == 201
    proxy.script(Status(404), None, Status(404), Status(404))
    CALLS[call](store)


def test_a_move_that_ended_between_two_questions_is_no_missing_object(store, proxy):
    store.put("object", b"there", size=5)
    proxy.script(Status(404))
    assert load(store, "object") == b"there"


def test_a_missing_object_stays_missing_while_one_waits(store, raw):
    store.put("other", b"there", size=5)
    mark = hashlib.sha256(b"object").hexdigest()[:32]
    assert raw("PUT", f"=new/{mark}-{'0' * 32}", b"left behind") == 201
    with pytest.raises(NotFound) as caught:
        store.get("object")
    assert caught.value.key == "object"


ODD = {
    "no length": Status(200, b"5\r\nhello\r\n0\r\n\r\n", (("Transfer-Encoding", "chunked"),)),
    "zipped": Status(200, b"hello", (("Content-Encoding", "gzip"),)),
    "no content": Status(204, b""),
    "no range": Status(206, b"el"),
    "another range": Status(206, b"el", (("Content-Range", "bytes 2-3/5"),)),
    "shorter range": Status(206, b"e", (("Content-Range", "bytes 1-1/5"),)),
    "wrong length": Status(206, b"ell", (("Content-Range", "bytes 1-2/5"),)),
    "unknown size": Status(206, b"el", (("Content-Range", "bytes 1-2/*"),)),
    "several": Status(206, b"el", (("Content-Type", "multipart/byteranges; boundary=x"),)),
    "wrong checksum": Status(200, b"hello", (("OC-Checksum", f"SHA1:{'0' * 40}"),)),
}


@pytest.mark.parametrize("fault", ODD.values(), ids=ODD)
def test_an_answer_to_another_question_is_not_taken(store, proxy, fault):
    proxy.always(fault)
    asked = {} if any(name == "OC-Checksum" for name, _ in fault.headers) else {"range": (1, 2)}
    with pytest.raises(Unavailable):
        load(store, "object", **asked)


def test_a_server_that_knows_no_ranges_is_cut_to_what_was_asked_for(store, proxy):
    proxy.always(Status(200, BODY))
    assert load(store, "object", range=(100_000, 100_009)) == BODY[100_000:100_010]
    assert load(store, "object", range=(len(BODY) - 2, 1 << 40)) == BODY[-2:]
    with pytest.raises(InvalidArgument, match="beyond the end"):
        store.get("object", range=(len(BODY), len(BODY)))
    proxy.always(Status(416))
    with pytest.raises(InvalidArgument, match="beyond the end"):
        store.get("object", range=(5, 6))


def test_a_server_may_send_more_of_a_range_than_was_asked_for(store, proxy):
    """As those do in whose language the end of `bytes=0-0` counts as none."""
    proxy.always(Status(206, b"hello", (("Content-Range", "bytes 0-4/5"),)))
    assert load(store, "object", range=(0, 0)) == b"h"
    assert load(store, "object", range=(1, 3)) == b"ell"
    proxy.always(Status(206, b"ello", (("Content-Range", "bytes 1-4/5"),)))
    assert load(store, "object", range=(3, 9)) == b"lo"
    with pytest.raises(Unavailable):
        load(store, "object", range=(0, 2))
    proxy.always(Status(206, b"ello!", (("Content-Range", "bytes 1-5/5"),)))
    with pytest.raises(Unavailable):
        load(store, "object", range=(3, 3))


def test_a_length_that_an_answer_leaves_out_is_asked_for(store, proxy):
    chunked = (("Transfer-Encoding", "chunked"),)
    for body in (b"", b"hello"):
        store.put("object", body, size=len(body))
        sent = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        proxy.script(Status(200, sent + b"0\r\n\r\n", chunked))
        assert load(store, "object") == body
        assert [seen.method for seen in proxy.seen][-2:] == ["GET", "PROPFIND"]
    proxy.script(Status(200, b"0\r\n\r\n", chunked))
    with pytest.raises(Unavailable, match="ended early"):
        load(store, "object")


def test_a_server_that_offers_no_ranges_is_not_asked(opened):
    with pytest.raises(NotSupported):
        opened(range="absent").get("object", range=(0, 0))
    with pytest.raises(NotSupported):
        opened(copy="unsafe").copy("a", "b")


def test_a_store_whose_etags_are_digests_tells_one_each_time(opened, proxy):
    store = opened(etags="digest")
    digest = hashlib.sha1(b"hello", usedforsecurity=False).hexdigest()
    for headers in ((), (("ETag", '"18eb30bfc4547d9911170"'),), (("ETag", f'"{"0" * 40}"'),)):
        proxy.always(Status(200, b"hello", headers))
        with pytest.raises(Unavailable):
            load(store, "object")
    proxy.always(Status(200, b"hello", (("ETag", f'"{digest}"'),)))
    assert load(store, "object") == b"hello"


def test_the_right_checksum_is_taken(store, proxy):
    digest = hashlib.sha1(b"hello", usedforsecurity=False).hexdigest()
    proxy.always(Status(200, b"hello", (("OC-Checksum", f"MD5:{'0' * 32} SHA1:{digest.upper()}"),)))
    assert load(store, "object") == b"hello"


def told(bucket, name, inner="<d:getcontentlength>5</d:getcontentlength>", status="200 OK"):
    return (
        f"<d:response><d:href>/{bucket}/{name}</d:href><d:propstat><d:prop>{inner}</d:prop>"
        f"<d:status>HTTP/1.1 {status}</d:status></d:propstat></d:response>"
    )


def answer(bucket, *responses, itself=True):
    folder = told(bucket, "", "<d:resourcetype><d:collection/></d:resourcetype>") if itself else ""
    return Status(207, f"<d:multistatus xmlns:d='DAV:'>{folder}{''.join(responses)}</d:multistatus>".encode(), XML)


def test_a_listing_shows_what_can_be_asked_for(store, proxy, bucket):
    names = ["object", "=new", "=zz", "Upper", "a b", ".hidden", "x.part", "=6f", "%ff", "=ff", "=41"]
    names += [urllib.parse.quote("é"), "=c3=a9"]
    folder = told(bucket, "folder", "<d:resourcetype><d:collection/></d:resourcetype>")
    proxy.always(answer(bucket, *[told(bucket, name) for name in [*names, "file=", "file=-"]], folder))
    assert [info.key for page in store.list() for info in page.objects] == ["A", "object", "é"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda bucket: answer(bucket, told(bucket, "object"), itself=False),
        lambda bucket: answer(bucket, told("elsewhere", "object")),
        lambda bucket: answer(bucket, told(bucket, "a=/b")),
        lambda bucket: answer(bucket, told(bucket, "object", "")),
        lambda bucket: answer(bucket, told(bucket, "object", status="404 Not Found")),
        lambda bucket: answer(bucket, told(bucket, "object", "<d:getcontentlength>x</d:getcontentlength>")),
        lambda bucket: Status(207, b"<!DOCTYPE x [<!ENTITY a 'x'>]>" + answer(bucket).body, XML),
        lambda bucket: Status(207, answer(bucket).body, (("Content-Encoding", "deflate"),)),
        lambda bucket: Status(207, answer(bucket).body[:-5], XML),
        lambda bucket: Status(207, b"<a>" * 4_000_000, XML),
    ],
)
def test_a_listing_that_lies_is_none(store, proxy, bucket, wrong):
    proxy.always(wrong(bucket))
    with pytest.raises(Unavailable):
        list(store.list())


def test_a_listing_of_ten_megabytes_is_read(store, proxy, bucket):
    responses = [
        told(bucket, f"{number:06}", f"<x>{'y' * 200}</x><d:getcontentlength>5</d:getcontentlength>")
        for number in range(30_000)
    ]
    whole = answer(bucket, *responses)
    assert len(whole.body) > 10_000_000
    proxy.always(whole)
    assert sum(len(page.objects) for page in store.list()) == 30_000


def test_a_listing_asks_for_no_more_collections_than_it_needs(store, proxy):
    for key in ("a/1", "a/b/2", "a/b/c/3", "b/4", "c/d/5", "e"):
        store.put(key, b"", size=0)

    def asked(**given):
        before = len(proxy.seen)
        assert list(store.list(**given))
        return [seen.target.split("/", 2)[2] for seen in proxy.seen[before:]]

    assert asked() == ["", "a=/", "a=/b=/", "a=/b=/c=/", "b=/", "c=/", "c=/d=/"]
    assert asked(delimiter="/") == ["", "a=/", "b=/", "c=/", "c=/d=/"]
    assert asked(prefix="a/b/") == ["a=/b=/", "a=/b=/c=/"]
    assert asked(prefix="a/b") == ["a=/", "a=/b=/", "a=/b=/c=/"]
    assert asked(start_after="b/4") == ["", "b=/", "c=/", "c=/d=/"]
    assert asked(start_after="b/4", delimiter="/", prefix="c/") == ["c=/", "c=/d=/"]


def test_an_answer_about_one_object_is_about_this_one(store, proxy, bucket):
    for wrong in (
        answer(bucket, told(bucket, "other"), itself=False),
        answer(bucket, told(bucket, "object"), told(bucket, "object"), itself=False),
        answer(bucket, told(bucket, "object", ""), itself=False),
        answer(bucket, itself=False),
        Status(207, b"x" * 3_000_000),
    ):
        proxy.always(wrong)
        with pytest.raises(Unavailable):
            store.head("object")
    folder = "<d:resourcetype><d:collection/></d:resourcetype>"
    proxy.always(answer(bucket, told(bucket, "object", folder), itself=False))
    with pytest.raises((NotFound, Unavailable)):
        store.head("object")


def test_redirects_are_not_followed(store, proxy, bucket):
    for code in (301, 302, 303, 307, 308):
        proxy.always(Status(code, b"", (("Location", f"{proxy.url}/{bucket}/other"),)))
        before = len(proxy.seen)
        with pytest.raises(StoreError, match="redirects are not followed"):
            store.get("object")
        assert len(proxy.seen) == before + 1


def test_a_copy_of_another_length_is_not_published(store, proxy, bucket, waiting):
    store.put("object", BODY, size=len(BODY))
    proxy.script(answer(bucket, told(bucket, "object"), itself=False))
    with pytest.raises(Unavailable):
        store.copy("object", "copied")
    assert waiting() == []
    with pytest.raises(NotFound):
        store.head("copied")


# --- what nobody moves any more

DAY = "{:%a, %d %b %Y %H:%M:%S GMT}"


def test_what_has_waited_for_a_week_is_removed_by_the_first_put(opened, proxy, bucket):
    opened().put("before", b"x", size=1)
    store = opened()
    now = datetime.now(UTC)
    entries = {
        f"{'a' * 32}-{'0' * 32}": now - timedelta(days=8),
        f"{'b' * 32}-{'0' * 32}": now - timedelta(days=6),
        "somebody-else-s": now - timedelta(days=800),
    }
    entry = (
        "<d:response><d:href>/{}/=new/{}</d:href><d:propstat><d:prop><d:getcontentlength>1</d:getcontentlength>"
        "<d:getlastmodified>{}</d:getlastmodified></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
        "</d:response>"
    )
    itself = (
        f"<d:response><d:href>/{bucket}/=new/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/>"
        "</d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
    )
    told = itself + "".join(entry.format(bucket, name, DAY.format(at)) for name, at in entries.items())
    listing = f'<d:multistatus xmlns:d="DAV:">{told}</d:multistatus>'.encode()
    proxy.script(None, Status(207, listing, XML))
    store.put("after", b"x", size=1)
    removed = [seen.target for seen in proxy.seen if seen.method == "DELETE"]
    assert removed == [f"/{bucket}/=new/{'a' * 32}-{'0' * 32}"]
    before = len(proxy.seen)
    store.put("again", b"x", size=1)
    assert [seen.method for seen in proxy.seen[before:]] == ["PUT", "PROPFIND", "MOVE"]


def test_that_nothing_can_be_cleared_away_fails_no_put(opened, proxy):
    opened().put("before", b"x", size=1)
    store = opened()
    proxy.script(None, Status(500))
    store.put("after", b"x", size=1)
    assert load(store, "after") == b"x"


class Breaking:
    """A source that gives two megabytes of what was announced."""

    def __init__(self):
        self.left = 3

    def read(self, size=-1):
        self.left -= 1
        if not self.left:
            raise RuntimeError("the source broke")
        return bytes(1 << 20)


def test_what_a_source_that_broke_has_left_behind_is_removed(server, bucket, waiting):
    server.create_folder(bucket)
    store = build(server.binding(bucket))
    with pytest.raises(RuntimeError, match="the source broke"):
        store.put("object", Breaking(), size=40 << 20)
    assert waiting() == []
    store.close()


def test_a_server_that_still_writes_after_a_break_is_asked_again_to_remove_it(store, proxy):
    with pytest.raises(RuntimeError, match="the source broke"):
        store.put("object", Breaking(), size=40 << 20)
    assert [seen.method for seen in proxy.seen] == ["MKCOL", "PROPFIND", "DELETE", "DELETE", "DELETE"]
    proxy.script(Status(500))
    with pytest.raises(Unavailable):
        store.put("object", b"x", size=1)
    assert [seen.method for seen in proxy.seen][-2:] == ["PUT", "DELETE"]
