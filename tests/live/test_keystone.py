"""Tokens of a real Keystone for a real Swift; see `sovbroker.testing.swift` for SWIFT_PYTHON."""

import dataclasses

import pytest

from sovbroker.errors import NotFound, PermissionDenied
from sovbroker.ports import Binding, Credentials
from sovbroker.testing.keystone import DOMAIN
from sovbroker.testing.swift import swift
from sovbroker_adapters.swift import build


@pytest.fixture(scope="module")
def server():
    with swift(with_keystone=True) as running:
        yield running


@pytest.fixture
def opened(server):
    """A function that opens a container of Keystone's project, with credentials."""
    stores = []

    def open_container(container, **credentials):
        binding = Binding(
            target="test",
            container=container,
            endpoint=server.url,
            region="one",
            hosts=frozenset({server.host, server.identity.host}),
            credentials=Credentials(credentials),
            settings={"authority": server.identity.url, "attempts": 1},
        )
        stores.append(build(binding))
        return stores[-1]

    yield open_container
    for store in stores:
        store.close()


@pytest.fixture
def ways(server):
    user = {"username": "tester", "password": server.key}
    identity, secret = server.application
    return [
        {**user, "project_id": server.project},
        {**user, "project_name": "records", "user_domain_name": DOMAIN},
        {"application_credential_id": identity, "application_credential_secret": secret},
    ]


def test_every_way_in_leads_to_the_same_objects(server, opened, ways, bucket):
    server.create_project_container(bucket)
    for number, given in enumerate(ways):
        store = opened(bucket, **given)
        store.put(f"{number}", b"body", size=4, metadata={"a": "1"})
        upload = store.multipart(f"large {number}")
        upload.commit([upload.part(1, b"one"), upload.part(2, b"two")])
        assert store.inspect().region == "one"
        assert store.inspect().public is False
    expected = [f"{number}" for number in range(3)] + [f"large {number}" for number in range(3)]
    for given in ways:
        assert [info.key for page in opened(bucket, **given).list() for info in page.objects] == expected


def test_a_token_that_was_revoked_is_renewed(server, opened, ways, bucket):
    server.create_project_container(bucket)
    store = opened(bucket, **ways[0])
    store.put("one", b"x", size=1)
    login = store._connection.login()
    server.identity.revoke(login.token)
    assert store.head("one").size == 1
    assert store._connection.login().token != login.token


def test_wrong_credentials_are_refused(opened, ways, bucket):
    for given in ways:
        for name in given:
            if name == "user_domain_name":
                continue
            with pytest.raises(PermissionDenied):
                opened(bucket, **{**given, name: "wrong"}).head("one")


def test_a_container_that_is_missing_is_named(opened, ways):
    with pytest.raises(NotFound, match="no container `never-made`"):
        opened("never-made", **ways[0]).put("one", b"x", size=1)


def test_a_catalogue_that_names_another_place_is_not_followed(server, opened, ways, bucket):
    store = opened(bucket, **ways[0])
    # The policy has decided about another endpoint than the one that Keystone names.
    elsewhere = dataclasses.replace(store._connection._binding, endpoint="http://127.0.0.1:1")
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        build(elsewhere).head("one")
