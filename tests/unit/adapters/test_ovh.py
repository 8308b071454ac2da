"""OVHcloud's account plane: what it tells, what it refuses, and what it does not look at."""

import json
import os
import pickle
import threading
from dataclasses import replace

import ovh
import pytest

from sovbroker.errors import ConfigError, NotFound, PermissionDenied, StoreError, Unavailable
from sovbroker.ports import Container, Credentials, User
from sovbroker.testing.ovh import PROJECT, SECRETS, OvhService
from sovbroker_adapters.ovh import build
from sovbroker_adapters.ovh.accounts import OvhAccounts
from sovbroker_adapters.ovh.client import Connection


@pytest.fixture
def service():
    with OvhService() as service:
        yield service


@pytest.fixture
def accounts(service):
    accounts = build(service.binding())
    yield accounts
    accounts.close()


def test_tells_of_regions_containers_and_users(service, accounts):
    number, access = service.add_user("the broker")
    assert accounts.regions() == ["GRA", "SBG5", "DE"]
    assert accounts.containers() == [Container("patients", "GRA"), Container("archive", "GRA")]
    assert accounts.users() == [User(number, f"user-{number}", "the broker", "ok")]
    assert accounts.keys(number) == [access]
    # A region that has no S3 storage is not asked for its containers.
    assert ("GET", f"/cloud/project/{PROJECT}/region/SBG5/storage") not in service.calls


def test_makes_users_and_keys(service):
    pauses = []
    accounts = OvhAccounts(Connection(service.binding()), sleep=pauses.append)
    service.state.slow = 3
    user = accounts.create_user("the broker")
    assert (user.description, user.status) == ("the broker", "ok")
    assert len(pauses) == 3
    key = accounts.create_key(user.id)
    assert service.works(key.access_key, key.secret_key)
    assert key.secret_key not in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    accounts.delete_key(user.id, key.access_key)
    assert not service.works(key.access_key, key.secret_key)
    accounts.delete_key(user.id, key.access_key)
    accounts.close()


def test_a_user_that_is_never_ready(service):
    accounts = OvhAccounts(Connection(replace(service.binding(), settings={"user-within": 1})), sleep=lambda _: None)
    service.state.slow = 1 << 30
    with pytest.raises(Unavailable, match="not ready after 1 s"):
        accounts.create_user("the broker")
    number = max(service.state.users)
    service.state.users[number]["status"] = "disabled"
    service.answer = lambda method, path: (
        (200, json.dumps(service.state.users[number]).encode(), {}) if method == "POST" else None
    )
    with pytest.raises(StoreError, match="`disabled`"):
        accounts.create_user("another")
    accounts.close()


@pytest.mark.parametrize("ahead", [-7200, 0, 7200])
def test_the_clock_is_the_service_s(service, accounts, ahead):
    service.state.ahead = ahead
    assert accounts.regions()
    assert accounts.regions()
    assert service.calls.count(("GET", "/auth/time")) == 1


def test_a_clock_that_changes_is_refused(service, accounts):
    assert accounts.regions()
    service.state.ahead = 7200
    with pytest.raises(StoreError, match="out of time"):
        accounts.regions()


@pytest.mark.parametrize("wrong", SECRETS)
def test_wrong_credentials(service, wrong):
    accounts = build(service.binding(secrets={**SECRETS, wrong: "something-else-entirely"}))
    expected = StoreError if wrong == "application_secret" else PermissionDenied
    with pytest.raises(expected) as caught:
        accounts.users()
    told = f"{caught.value} {caught.value.__cause__!r} {accounts!r}"
    assert not [secret for secret in (*SECRETS.values(), "something-else-entirely") if secret in told]
    accounts.close()


def test_expired_credentials(service, accounts):
    service.state.expired = True
    with pytest.raises(PermissionDenied):
        accounts.users()


CALLS = {
    "regions": lambda accounts: accounts.regions(),
    "containers": lambda accounts: accounts.containers(),
    "users": lambda accounts: accounts.users(),
    "create_user": lambda accounts: accounts.create_user("x"),
    "keys": lambda accounts: accounts.keys("1"),
    "create_key": lambda accounts: accounts.create_key("1"),
    "delete_key": lambda accounts: accounts.delete_key("1", "a"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"", Unavailable),
        (200, b"<html>log in</html>", Unavailable),
        (200, b"null", Unavailable),
        (200, b"7", Unavailable),
        (200, b'"text"', Unavailable),
        (200, b'{"id": true}', Unavailable),
        (200, b'[null, 1, ""]', Unavailable),
        (204, b"", Unavailable),
        (400, b'{"message": "no"}', StoreError),
        (400, b"[]", Unavailable),
        (401, b'{"message": "no"}', PermissionDenied),
        (403, b'{"errorCode": "NOT_GRANTED_CALL", "message": "no"}', PermissionDenied),
        (409, b'{"message": "no"}', StoreError),
        (429, b'{"message": "slow down"}', Unavailable),
        (500, b'{"message": "oops"}', Unavailable),
        (502, b"<html>", Unavailable),
        (301, b"", StoreError),
    ],
)
def test_every_odd_answer_is_an_error_of_ours(service, accounts, call, status, body, expected):
    assert accounts.regions()  # so that the clock is known
    service.answer = lambda _method, _path: (status, body, {})
    with pytest.raises(expected) as caught:
        CALLS[call](accounts)
    if expected is StoreError:
        assert type(caught.value) is StoreError
    assert caught.value.target == "ovhcloud"


def test_an_answer_without_the_time(service, accounts):
    service.answer = lambda _method, path: (200, b'"soon"', {}) if path == "/auth/time" else None
    with pytest.raises(Unavailable):
        accounts.users()


def test_what_is_missing(service, accounts):
    with pytest.raises(NotFound):
        accounts.keys("99")
    with pytest.raises(NotFound):
        accounts.delete_key("99", "x")
    with pytest.raises(NotFound):
        accounts.keys("../region")
    assert service.calls[-1][1].endswith("/user/..%2Fregion/s3Credentials")


def test_a_removal_that_is_only_said_to_be_one(service, accounts):
    number, access = service.add_user("the broker")
    service.answer = lambda method, _path: (200, b"null", {}) if method == "DELETE" else None
    with pytest.raises(Unavailable, match="lists it"):
        accounts.delete_key(number, access)


def test_redirects_are_not_followed(service, accounts):
    with OvhService() as elsewhere:
        for status in (301, 302, 303, 307, 308):
            service.answer = lambda _method, _path, status=status: (status, b"", {"Location": elsewhere.url})
            for call in CALLS.values():
                with pytest.raises(StoreError, match="redirects are not followed"):
                    call(accounts)
        assert elsewhere.calls == []


def test_nobody_else_is_talked_to(service):
    with pytest.raises(PermissionDenied):
        build(replace(service.binding(), hosts=frozenset({"eu.api.ovh.com"})))
    with pytest.raises(PermissionDenied):
        build(replace(service.binding(), endpoint="http://169.254.169.254/1.0"))


def test_the_environment_and_files_change_nothing(service, tmp_path, monkeypatch):
    with OvhService() as elsewhere:
        text = "[default]\nendpoint=ovh-us\n[ovh-eu]\nclient_id=x\nclient_secret=y\n"
        (tmp_path / "ovh.conf").write_text(text)
        (tmp_path / ".ovh.conf").write_text(text)
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login x password y\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, elsewhere.url)
        for name in ("ENDPOINT", "APPLICATION_KEY", "APPLICATION_SECRET", "CONSUMER_KEY", "CLIENT_ID", "CLIENT_SECRET"):
            monkeypatch.setenv(f"OVH_{name}", "evil")
        accounts = build(service.binding())
        assert accounts.regions()
        assert elsewhere.calls == []
        accounts.close()


def test_the_sdk_s_client_has_what_its_own_constructor_gives_it(service):
    theirs = ovh.Client("ovh-eu", "a", "b", "c")
    ours = Connection(service.binding())._make().client
    assert vars(ours).keys() == vars(theirs).keys()


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_is_needed(service, name):
    secrets = {key: value for key, value in SECRETS.items() if key != name}
    with pytest.raises(ConfigError, match=name):
        build(service.binding(secrets=secrets))


def test_settings(service):
    with pytest.raises(ConfigError, match="no such setting"):
        build(service.binding(settings={"proxy": "x"}))
    with pytest.raises(ConfigError, match="project"):
        build(replace(service.binding(), container=""))
    with pytest.raises(ConfigError, match="endpoint"):
        build(replace(service.binding(), endpoint=None))
    with pytest.raises(TypeError):
        pickle.dumps(build(replace(service.binding(), credentials=Credentials(SECRETS)))._connection)


def test_threads_and_children_use_it(service, accounts):
    number, _ = service.add_user("the broker")
    threads = [threading.Thread(target=lambda: accounts.create_key(number)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accounts.keys(number)) == 9
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if len(accounts.keys(number)) == 9 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
