"""How to reach the storage of a target."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue import Connection
from sovbroker.catalogue.loader import load
from sovbroker.errors import ConfigError


def test_an_endpoint_takes_its_parameters(folder, acme):
    known = load(folder(acme=acme))
    lyon = known.connection("acme/lyon")
    assert (lyon.target, lyon.adapter, lyon.region, lyon.supply) == ("acme/lyon", "s3", "lyon", "")
    assert lyon.parameters == ("account",)
    assert lyon.endpoint({"account": "me"}) == "https://me.s3-lyon.acme.example"
    assert lyon.hosts({"account": "me"}, bucket="b") == {"me.s3-lyon.acme.example", "b.me.s3-lyon.acme.example"}
    assert lyon.settings == {"addressing": "virtual", "parts_max": 1000, "bulk-delete": False}
    assert type(lyon.settings["parts_max"]) is int
    oslo = known.connection("acme/oslo")
    assert (oslo.region, oslo.parameters) == ("default", ("space_id",))
    assert oslo.endpoint({"space_id": "7f-1"}) == "https://oslo.acme.example/spaces/7f-1"


def test_a_parameter_that_is_missing_or_too_many_is_named(folder, acme):
    lyon = load(folder(acme=acme)).connection("acme/lyon")
    with pytest.raises(ConfigError, match="needs the parameter `account`"):
        lyon.endpoint({})
    with pytest.raises(ConfigError, match="has no parameter `tenant`; it takes `account`"):
        lyon.endpoint({"account": "me", "tenant": "x"})


@pytest.mark.parametrize(
    "value", ["", "evil.example/", "a.b", "a/b", "me@evil", "-a", "a-", "A", "a b", "a\n", "{region}", "é", "a" * 64]
)
def test_no_parameter_leads_to_another_host(folder, acme, value: str):
    lyon = load(folder(acme=acme)).connection("acme/lyon")
    with pytest.raises(ConfigError, match="cannot be the parameter `account`"):
        lyon.endpoint({"account": value})
    with pytest.raises(ConfigError, match="cannot be the parameter `account`"):
        lyon.hosts({"account": value}, bucket="b")


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_the_host_is_always_below_its_domain(value: str):
    connection = Connection("acme/lyon", "s3", "https://{account}.s3.acme.example", "lyon")
    try:
        url = connection.endpoint({"account": value})
    except ConfigError:
        return
    assert urlsplit(url).hostname == f"{value}.s3.acme.example"
    assert connection.hosts({"account": value}, bucket="b") == {f"{value}.s3.acme.example"}


def test_where_no_endpoint_is_known_the_operator_is_told_what_to_bring():
    connection = Connection("acme/lyon", None, None, "lyon", supply="ask Acme")
    with pytest.raises(ConfigError, match="`acme/lyon` cannot be opened yet: ask Acme") as told:
        connection.endpoint({})
    assert 'acme/lyon: {binding: {adapter: s3, endpoint: "https://…"' in str(told.value)
    assert connection.parameters == ()


def test_who_gives_tokens_may_be_talked_to():
    connection = Connection(
        "x/y", "azure", "https://{account}.blob.x.example", "y", settings={"authority": "login.x.example"}
    )
    assert connection.hosts({"account": "a"}, bucket="b") == {"a.blob.x.example", "login.x.example"}
    keystone = Connection(
        "x/y", "swift", "https://storage.x.example", "y", settings={"authority": "https://auth.x.example:5000/v3"}
    )
    assert keystone.hosts({}, bucket="b") == {"storage.x.example", "auth.x.example:5000"}
