"""What is really sent to retain a blob and to ask for a container, and what is made of the answers."""

import dataclasses
import re
import urllib.parse
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest

from sovbroker.errors import NotFound, NotSupported, PermissionDenied, Unavailable
from sovbroker.ports import Feature, Inspection
from sovbroker.testing.blobs import Answer, BlobService, RefusalError
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.azure import build

UNTIL = "x-ms-immutability-policy-until-date"


class Changed(BlobService):
    """A service whose answers a test may change: `change(method, request, answer)`."""

    change = None
    asked = None

    def _answer(self, method, request):
        self.asked = [*(self.asked or []), (method, request)]
        answer = super()._answer(method, request)
        return answer if self.change is None else self.change(method, request, answer)


@pytest.fixture
def service():
    with Changed(locks=True) as running:
        running.server.create_container("box")
        yield running


@pytest.fixture
def store(service):
    store = build(service.server.binding("box", settings={"retention": "native", "attempts": 1}))
    store.put("kept", b"kept", size=4)
    yield store
    store.close()


def soon(**span):
    return datetime.now(UTC) + timedelta(**(span or {"days": 1}))


def test_what_is_sent(service, store):
    with Recorder() as recorder:
        url = recorder.in_front_of("azure", service.server.host)
        base = service.server.binding("box", settings={"retention": "native"})
        host = urllib.parse.urlsplit(url).netloc
        proxied = build(dataclasses.replace(base, endpoint=url, hosts=frozenset({host})))
        until = datetime(2031, 5, 6, 7, 8, 9, 10, tzinfo=timezone(timedelta(hours=2)))
        proxied.retain("kept", until=until)
        proxied.close()
        sent = b"".join(bytes(tape.data) for tape in recorder.tapes(direction="sent"))
    (head,) = re.findall(rb"PUT /[^\r\n]* HTTP/1\.1\r\n.*?\r\n\r\n", sent, re.DOTALL)
    assert head.startswith(b"PUT /devstoreaccount1/box/kept?comp=immutabilityPolicies HTTP/1.1\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().lower().splitlines()[1:] if line)
    # Up to the next whole second, in UTC.
    assert lines[UNTIL] == "tue, 06 may 2031 05:08:10 gmt"
    assert lines["x-ms-immutability-policy-mode"] == "locked"
    assert lines["content-length"] == "0"
    assert lines["authorization"].startswith("sharedkey devstoreaccount1:")


def test_what_is_retained_is_neither_removed_nor_asked_to_be(service, store):
    store.retain("kept", until=soon())
    service.asked = []
    with pytest.raises(PermissionDenied, match="`kept` is retained until"):
        store.delete("kept")
    # Where versions are kept, the service would hide it behind one and say yes.
    assert [method for method, _ in service.asked] == ["HEAD"]
    assert set(store.delete_many(["kept", "other"])) == {"kept"}


def test_a_retention_is_made_longer_and_never_shorter(store):
    store.retain("kept", until=soon(days=2))
    store.retain("kept", until=soon(days=3))
    with pytest.raises(PermissionDenied):
        store.retain("kept", until=soon(days=1))


def test_a_store_that_does_not_retain_is_not_asked_before_a_removal(service):
    store = build(service.server.binding("box"))
    store.put("k", b"x", size=1)
    service.asked = []
    store.delete("k")
    assert [method for method, _ in service.asked] == ["DELETE"]
    with pytest.raises(NotSupported):
        store.retain("k", until=soon())
    store.close()


def test_a_policy_that_can_be_taken_back_is_none(service, store):
    def unlock(method, request, answer):
        headers = {name: "Unlocked" if name.endswith("-mode") else value for name, value in answer.headers.items()}
        return dataclasses.replace(answer, headers=headers)

    service.change = unlock
    with pytest.raises(NotSupported, match="does not hold it"):
        store.retain("kept", until=soon())


@pytest.mark.parametrize(
    ("told", "kind"), [("", Unavailable), ("some day", Unavailable), ("Mon, 24 Nov 2025 12:00:00 GMT", NotSupported)]
)
def test_a_service_that_takes_a_retention_and_does_not_hold_it(service, store, told, kind):
    def forget(method, request, answer):
        headers = {name: told if name == UNTIL else value for name, value in answer.headers.items()}
        return dataclasses.replace(answer, headers=headers)

    service.change = forget
    with pytest.raises(kind):
        store.retain("kept", until=soon())


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "BlobImmutableDueToPolicy", PermissionDenied),
        (409, "FeatureNotSupportedForAccount", NotSupported),
        (403, "AuthorizationPermissionMismatch", PermissionDenied),
        (503, "ServerBusy", Unavailable),
    ],
)
def test_a_service_that_refuses(service, store, status, code, kind):
    def refuse(method, request, answer):
        if request.query.get("comp") == "immutabilityPolicies":
            raise RefusalError(status, code)
        return answer

    service.change = refuse
    with pytest.raises(kind) as caught:
        store.retain("kept", until=soon())
    assert caught.value.key == "kept"


def test_a_missing_container(service):
    store = build(service.server.binding("none", settings={"retention": "native", "attempts": 1}))
    for call in (lambda: store.retain("k", until=soon()), lambda: store.delete("k"), store.inspect):
        with pytest.raises(NotFound) as caught:
            call()
        assert caught.value.key is None
    store.close()


# --- what the container is like


def headers(service, **told):
    def tell(method, request, answer):
        return dataclasses.replace(answer, headers={**answer.headers, **told})

    service.change = tell


def test_a_container_with_locks(store):
    found = store.inspect()
    assert abs(found.skew) < timedelta(seconds=30)
    assert found.clock.tzinfo is UTC
    assert dataclasses.replace(found, clock=None, skew=None) == Inspection(public=False, versioned=True, locks=True)


def test_a_container_without_locks():
    with BlobService() as service:
        service.server.create_container("box")
        store = build(service.server.binding("box"))
        found = store.inspect()
        store.close()
    # Whether it keeps versions is told of the account alone.
    assert (found.locks, found.versioned, found.removals, found.region) == (False, None, None, None)


@pytest.mark.parametrize(("told", "public"), [("container", True), ("blob", True), ("", False)])
def test_public_access(service, store, told, public):
    headers(service, **({"x-ms-blob-public-access": told} if told else {}))
    assert store.inspect().public is public


def test_encryption(service, store):
    headers(service, **{"x-ms-default-encryption-scope": "acme-scope"})
    assert store.inspect().encryption == "acme-scope"


@pytest.mark.parametrize("minutes", [-7, 7])
def test_a_clock_that_is_wrong(service, store, monkeypatch, minutes):
    import http.server  # noqa: PLC0415 - of this test alone

    real = http.server.BaseHTTPRequestHandler.date_time_string
    off = timedelta(minutes=minutes).total_seconds()
    monkeypatch.setattr(
        http.server.BaseHTTPRequestHandler,
        "date_time_string",
        lambda self, timestamp=None: real(self, datetime.now(UTC).timestamp() + off),
    )
    found = store.inspect()
    assert abs(found.skew - timedelta(minutes=minutes)) < timedelta(seconds=30)


def test_credentials_that_may_list_and_not_ask(service, store):
    def refuse(method, request, answer):
        if not request.name and request.query.get("comp") != "list":
            raise RefusalError(403, "AuthorizationFailure")
        return answer

    service.change = refuse
    found = store.inspect()
    assert abs(found.skew) < timedelta(seconds=30)
    assert dataclasses.replace(found, clock=None, skew=None) == Inspection()


def test_credentials_that_may_neither(service, store):
    def refuse(method, request, answer):
        raise RefusalError(403, "AuthorizationFailure")

    service.change = refuse
    with pytest.raises(PermissionDenied, match="neither ask for the container nor list it"):
        store.inspect()


def test_a_retention_needs_its_setting(service):
    store = build(service.server.binding("box"))
    assert not store.capabilities[Feature.RETENTION].usable
    store.close()


def test_the_service_itself_holds_what_it_was_told_to(service, store):
    until = soon(seconds=3600)
    store.retain("kept", until=until)
    careless = build(service.server.binding("box", settings={"attempts": 1}))
    with pytest.raises(PermissionDenied, match="BlobImmutableDueToPolicy"):
        careless.delete("kept")
    careless.close()
    held = service._containers["box"]["kept"].until
    assert timedelta(0) <= parsedate_to_datetime(held) - until < timedelta(seconds=1)
    assert isinstance(service._answer("GET", service.asked[-1][1]), Answer)


def test_metadata_of_what_is_retained_are_not_set(store):
    store.retain("kept", until=soon())
    with pytest.raises(PermissionDenied, match="BlobImmutableDueToPolicy"):
        store.set_metadata("kept", metadata={"a": "1"})
    assert store.head("kept").metadata == {}


def test_metadata_are_set_on_the_object_that_was_looked_at(service, store):
    """On no other: the request carries its ETag."""
    seen = []

    def watch(method, request, answer):
        seen.append((method, request.query.get("comp"), request.headers.get("if-match")))
        return answer

    service.change = watch
    store.set_metadata("kept", metadata={"a": "1"})
    assert [(method, comp) for method, comp, _ in seen] == [("HEAD", None), ("PUT", "metadata"), ("HEAD", None)]
    assert seen[1][2] is not None
    assert seen[1][2].startswith('"0x')
