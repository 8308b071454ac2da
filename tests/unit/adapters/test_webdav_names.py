"""Keys as names on a WebDAV server, and what its XML may do to us."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovbroker_adapters.webdav.multistatus import BrokenAnswerError, entries
from sovbroker_adapters.webdav.names import BELOW, MORE, Names, parents, segment_of

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80) | st.text("aA./=_-é%~+ ", min_size=1)
LONG = st.text("aé./", min_size=150, max_size=600)
BOTH = pytest.mark.parametrize("names", [Names(), Names(upper=True)], ids=["lower", "any"])
MOST = 1 << 20


def key_of(path):
    """Read a file's path back, as a listing does."""
    key = b""
    for name in path.split("/"):
        mark = MORE if name.endswith(MORE) else BELOW if name.endswith(BELOW) else ""
        key += segment_of(name.removesuffix(mark)) + (b"/" if mark == BELOW else b"")
    return key.decode()


@BOTH
@given(key=KEYS | LONG)
def test_a_name_spells_its_key_and_no_other(names, key):
    path = names.file(key)
    assert key_of(path) == key
    assert re.fullmatch(r"[A-Za-z0-9._~@=/-]+", path)
    if not names.upper:
        assert path == path.lower()
    parts = path.split("/")
    assert all(part and len(part) <= 210 for part in parts)
    for part in parts:
        assert not part.startswith(".")
        assert not part.endswith((".", ".part", ".filepart"))
        assert part.split(".")[0].lower() not in {"con", "nul", "aux", "prn", "com1", "lpt9"}


@BOTH
@given(one=KEYS, other=KEYS)
def test_an_object_is_never_a_collection_of_another(names, one, other):
    assert f"{names.file(one)}/" not in parents(names.file(other))
    assert (names.file(one) == names.file(other)) is (one == other)


@given(key=KEYS)
def test_a_collection_is_that_of_its_objects(key):
    names = Names()
    begun = key[: key.rfind("/") + 1]
    assert names.file(f"{begun}x") == f"{names.collection(begun)}x"


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("report.pdf", "report.pdf"),
        ("a/b", "a=/b"),
        ("a//b", "a=/=/b"),
        ("a/", "a=/=_"),
        ("/", "=/=_"),
        ("..", "=2e=2e"),
        (".htaccess", "=2ehtaccess"),
        ("x.part", "x=2epart"),
        ("nul", "=6eul"),
        ("con.txt", "=63on.txt"),
        ("0", "=30"),
        ("0/00", "=30=/00"),
        ("=new/x", "=3dnew=/x"),
        ("é A%", "=c3=a9=20=41=25"),
    ],
)
def test_what_names_look_like(key, path):
    assert Names().file(key) == path


@pytest.mark.parametrize("name", ["=new", "=", "a=", "=4", "=zz", "a b", "=2E", "é", "x=-"])
def test_what_spells_nothing_is_not_ours(name):
    assert segment_of(name) is None


def response(href="/a", inner="", status="200 OK"):
    return (
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{inner}</d:prop><d:status>HTTP/1.1 {status}</d:status>"
        "</d:propstat></d:response>"
    )


def document(*responses):
    text = f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">{"".join(responses)}</d:multistatus>'
    return text.encode()


def parse(*pieces):
    return list(entries(pieces, bytes_max=MOST))


def test_an_answer_is_read_in_pieces_of_any_length():
    inner = "<d:resourcetype/><d:getcontentlength>5</d:getcontentlength><d:getetag>W/&quot;x&amp;y&quot;</d:getetag>"
    data = document(response("/a%20b", inner), response("/c/", "<d:resourcetype><d:collection/></d:resourcetype>"))
    expected = parse(data)
    assert [(e.href, e.size, e.etag, e.collection) for e in expected] == [
        ("/a%20b", 5, "x&y", False),
        ("/c/", None, None, True),
    ]
    for step in (1, 7, 100):
        assert parse(*(data[start : start + step] for start in range(0, len(data), step))) == expected


def test_a_property_that_was_not_found_is_not_told():
    inner = "<d:getcontentlength>7</d:getcontentlength>"
    assert parse(document(response(inner=inner, status="404 Not Found")))[0].size is None


BOMB = b"<!DOCTYPE x [<!ENTITY a 'ha'>" + b"".join(
    b"<!ENTITY %c '&%c;&%c;&%c;'>" % (98 + i, 97 + i, 97 + i, 97 + i) for i in range(20)
)
BROKEN = {
    "empty": b"",
    "garbage": b"\x00\xff\xfe",
    "page": b"<html><body>portal</body></html>",
    "another": b'<d:error xmlns:d="DAV:"/>',
    "no namespace": b"<multistatus/>",
    "cut": document(response())[:-4],
    "cut within": document(response(), response("/b"))[:150],
    "two documents": document() * 2,
    "no address": document("<d:response/>"),
    "an address in pieces": document("<d:response><d:href>/a<d:href/></d:href></d:response>"),
    "bomb": BOMB + b"]><d:multistatus xmlns:d='DAV:'>&u;</d:multistatus>",
    "file": b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'>" + document(),
    "unknown entity": document(response("/&who;")),
    "negative": document(response(inner="<d:getcontentlength>-1</d:getcontentlength>")),
    "no number": document(response(inner="<d:getcontentlength>\u0665</d:getcontentlength>")),
    "huge number": document(response(inner=f"<d:getcontentlength>{'9' * 5000}</d:getcontentlength>")),
    "deep": document("<d:a>" * 5000 + "</d:a>" * 5000),
    "long address": document(response("/" + "a" * 20_000)),
    "long": document(*[response("/" + "a" * 1000)] * 1100),
    "encoding": b'<?xml version="1.0" encoding="martian"?><a/>',
    "encoding of two bytes": b'<?xml version="1.0" encoding="shift_jis"?><a/>',
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_found_out(data):
    for pieces in ([data], (data[start : start + 1000] for start in range(0, len(data), 1000))):
        with pytest.raises(BrokenAnswerError):
            parse(*pieces)


def test_a_tag_that_does_not_end_is_not_kept():
    given = []

    def endless():
        yield b"<d:multistatus xmlns:d='DAV:'><d:response a='"
        for _ in range(10_000):
            given.append(1)
            yield b"a" * 65_536

    with pytest.raises(BrokenAnswerError, match="does not end"):
        list(entries(endless(), bytes_max=1 << 40))
    assert len(given) < 50


@given(data=st.binary(max_size=200), at=st.integers(0, 400))
def test_damage_is_an_entry_or_an_error_of_ours(data, at):
    whole = document(response(inner="<d:getcontentlength>5</d:getcontentlength>"), response("/b"))
    try:
        found = parse(whole[:at] + data + whole[at + len(data) :])
    except BrokenAnswerError:
        return
    assert all(entry.href for entry in found)
