"""What is really sent to retain an object and to ask for a bucket, and what is made of the answers."""

import json
import threading
import urllib.parse
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sovbroker.errors import NotFound, NotSupported, PermissionDenied, Unavailable
from sovbroker.ports import Binding, Inspection
from sovbroker_adapters.gcs import build

BUCKET = "/storage/v1/b/acme"
LISTING = f"GET {BUCKET}/o"
KEPT = f"{BUCKET}/o/folder%2Fkept"
PLAIN = {"location": "EUROPE-WEST9", "iamConfiguration": {"publicAccessPrevention": "enforced"}}


class Service:
    """A bucket that answers what a test says, by method and path: (status, JSON)."""

    def __init__(self):
        self.answers = {LISTING: (200, {"kind": "storage#objects"})}
        self.asked = []
        self.ahead = timedelta(0)
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                url = urllib.parse.urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                service.asked.append((self.command, url.path, dict(urllib.parse.parse_qsl(url.query)), body))
                status, said = service.answers.get(
                    f"{self.command} {url.path}", (404, {"error": {"message": "No such object: x"}})
                )
                told = json.dumps(said).encode() if said is not None else b""
                self.send_response_only(status)
                self.send_header("Date", format_datetime(datetime.now(UTC) + service.ahead, usegmt=True))
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            do_GET = do_PATCH = do_DELETE = do_POST = answer  # noqa: N815 - the library's names

            def log_message(self, *_):
                """Print nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.http.server_port}"


@pytest.fixture
def service():
    service = Service()
    thread = threading.Thread(target=service.http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield service
    service.http.shutdown()
    service.http.server_close()
    thread.join()


@pytest.fixture
def opened(service):
    """A function that opens the bucket, with settings."""
    stores = []

    def open_bucket(**settings):
        binding = Binding(
            target="t",
            container="acme",
            endpoint=f"http://{service.host}",
            hosts=frozenset({service.host}),
            settings={"anonymous": True, "attempts": 1, **settings},
        )
        stores.append(build(binding))
        return stores[-1]

    yield open_bucket
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    return opened(retention="native")


UNTIL = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=timezone(timedelta(hours=2)))


def retention(until, mode="Locked"):
    return {"retention": {"mode": mode, "retainUntilTime": until}}


def test_what_is_sent(service, store):
    service.answers[f"GET {KEPT}"] = (200, {})
    service.answers[f"PATCH {KEPT}"] = (200, retention("2031-05-06T05:08:09.123Z"))
    store.retain("folder/kept", until=UNTIL)
    assert service.asked[1:] == [
        ("PATCH", KEPT, {"fields": "retention"}, retention("2031-05-06T05:08:09.123456+00:00")),
    ]


def test_what_is_retained_is_neither_removed_nor_asked_to_be(service, store):
    service.answers[f"GET {KEPT}"] = (200, retention("2031-05-06T05:08:09.123Z"))
    with pytest.raises(PermissionDenied, match=r"retained until 2031-05-06T05:08:09\.123000"):
        store.delete("folder/kept")
    assert set(store.delete_many(["folder/kept", "other"])) == {"folder/kept"}
    # Where versions are kept, the service would hide it behind one and say yes.
    assert ("DELETE", KEPT) not in [(method, path) for method, path, _, _ in service.asked]


@pytest.mark.parametrize(
    "said",
    [{}, retention("2021-05-06T05:08:09Z"), retention("2031-05-06T05:08:09Z", mode="Unlocked"), retention("soon")],
)
def test_what_is_not_retained_is_removed(service, store, said):
    service.answers |= {f"GET {KEPT}": (200, said), f"DELETE {KEPT}": (204, None)}
    store.delete("folder/kept")
    assert service.asked[-1][0] == "DELETE"


def test_a_store_that_does_not_retain_is_not_asked_before_a_removal(service, opened):
    service.answers[f"DELETE {KEPT}"] = (204, None)
    store = opened()
    store.delete("folder/kept")
    assert [method for method, *_ in service.asked] == ["DELETE"]
    with pytest.raises(NotSupported):
        store.retain("folder/kept", until=UNTIL)


def test_a_retention_is_never_shortened(service, store):
    service.answers[f"GET {KEPT}"] = (200, retention("2032-01-01T00:00:00Z"))
    with pytest.raises(PermissionDenied):
        store.retain("folder/kept", until=UNTIL)
    assert [method for method, *_ in service.asked] == ["GET"]


@pytest.mark.parametrize(
    "said",
    [
        {},
        retention("2031-05-06T05:08:09.122Z"),
        retention("2031-05-06T05:08:09.123Z", mode="Unlocked"),
        retention("2031-05-06T05:08:09.123"),
        {"retention": "yes"},
    ],
)
def test_a_service_that_takes_a_retention_and_does_not_hold_it(service, store, said):
    service.answers |= {f"GET {KEPT}": (200, {}), f"PATCH {KEPT}": (200, said)}
    with pytest.raises(NotSupported, match="does not hold it"):
        store.retain("folder/kept", until=UNTIL)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, PermissionDenied), (501, NotSupported), (503, Unavailable), (404, NotFound)]
)
def test_a_service_that_refuses(service, store, status, kind):
    service.answers |= {
        f"GET {KEPT}": (200, {}),
        f"PATCH {KEPT}": (status, {"error": {"message": "No such object: x"}}),
    }
    with pytest.raises(kind) as caught:
        store.retain("folder/kept", until=UNTIL)
    assert caught.value.key == "folder/kept"


# --- what the bucket is like


def inspected(service, opened, bucket, *, iam=None):
    service.answers[f"GET {BUCKET}"] = (200, bucket)
    if iam is not None:
        service.answers[f"GET {BUCKET}/iam"] = iam if isinstance(iam, tuple) else (200, {"bindings": iam})
    found = opened().inspect()
    assert abs(found.skew) < timedelta(seconds=30)
    return replace(found, clock=None, skew=None)


def test_a_plain_bucket(service, opened):
    assert inspected(service, opened, PLAIN) == Inspection(
        region="europe-west9",
        public=False,
        versioned=False,
        locks=False,
        encryption="by keys of the provider",
        removals=(),
    )
    asked = [(method, path, query) for method, path, query, _ in service.asked]
    assert asked == [
        ("GET", f"{BUCKET}/o", {"maxResults": "1", "fields": "kind"}),
        ("GET", BUCKET, {"fields": "location,versioning,lifecycle,encryption,objectRetention,iamConfiguration"}),
    ]


def test_a_bucket_with_everything(service, opened):
    key = "projects/p/locations/europe-west9/keyRings/r/cryptoKeys/k"
    found = inspected(
        service,
        opened,
        PLAIN
        | {
            "versioning": {"enabled": True},
            "objectRetention": {"mode": "Enabled"},
            "encryption": {"defaultKmsKeyName": key},
        },
    )
    assert (found.versioned, found.locks, found.encryption) == (True, True, key)


UNIFORM = {"location": "EU", "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}


@pytest.mark.parametrize(
    ("bucket", "iam", "public"),
    [
        (UNIFORM, [{"role": "r", "members": ["user:a@b", "allUsers"]}], True),
        (UNIFORM, [{"role": "r", "members": ["allAuthenticatedUsers"]}], True),
        (UNIFORM, [{"role": "r", "members": ["user:a@b"]}], False),
        (UNIFORM, None, None),
        (UNIFORM, (403, {}), None),
        ({"location": "EU"}, [], None),
        ({"location": "EU"}, [{"members": ["allUsers"]}], True),
        (UNIFORM, ["odd", {"members": "allUsers"}], False),
    ],
)
def test_public_access(service, opened, bucket, iam, public):
    assert inspected(service, opened, bucket, iam=iam).public is public


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"action": {"type": "Delete"}, "condition": {"age": 30}}, "rule 1 of its lifecycle deletes objects: age 30"),
        ({"action": {"type": "Delete"}}, "rule 1 of its lifecycle deletes objects: all"),
        (
            {"action": {"type": "Delete"}, "condition": {"age": 3, "matchesPrefix": [".sovbroker-parts/", "logs/"]}},
            'rule 1 of its lifecycle deletes objects: age 3, matchesPrefix [".sovbroker-parts/", "logs/"]',
        ),
        ({"action": {"type": "Delete"}, "condition": {"age": 7, "matchesPrefix": [".sovbroker-parts/"]}}, None),
        ({"action": {"type": "Delete"}, "condition": {"isLive": False}}, None),
        ({"action": {"type": "Delete"}, "condition": {"numNewerVersions": 2}}, None),
        ({"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}, None),
        ({"action": {"type": "SetStorageClass", "storageClass": "NEARLINE"}, "condition": {"age": 30}}, None),
        ("odd", None),
    ],
)
def test_rules_that_remove_objects(service, opened, rule, told):
    found = inspected(service, opened, PLAIN | {"lifecycle": {"rule": [rule]}})
    assert found.removals == (() if told is None else (told,))


@pytest.mark.parametrize("status", [401, 403, 501])
def test_credentials_that_may_list_and_not_ask(service, opened, status):
    service.answers[f"GET {BUCKET}"] = (status, {})
    found = opened().inspect()
    assert abs(found.skew) < timedelta(seconds=30)
    assert replace(found, clock=None, skew=None) == Inspection()


@pytest.mark.parametrize(("status", "kind"), [(403, PermissionDenied), (404, NotFound), (503, Unavailable)])
def test_credentials_that_may_nothing_and_a_bucket_that_is_not_there(service, opened, status, kind):
    service.answers[LISTING] = (status, {})
    with pytest.raises(kind) as caught:
        opened().inspect()
    assert caught.value.key is None


def test_something_else_that_answers(service, opened):
    service.answers[f"GET {BUCKET}"] = (200, {})
    with pytest.raises(Unavailable, match="without its location"):
        opened().inspect()


@pytest.mark.parametrize("minutes", [-7, 7])
def test_a_clock_that_is_wrong(service, opened, minutes):
    service.ahead = timedelta(minutes=minutes)
    service.answers[f"GET {BUCKET}"] = (200, PLAIN)
    assert abs(opened().inspect().skew - service.ahead) < timedelta(seconds=30)
