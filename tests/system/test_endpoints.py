"""A process for each provider, and the host of each request looked at: a wrong endpoint cannot pass unseen."""

from __future__ import annotations

import http.client
import os
from urllib.parse import urlsplit

import pytest

import sovbroker
from sovbroker.testing import servers
from sovbroker.testing.blobs import BlobService
from sovbroker.testing.gcs import fake_gcs
from sovbroker.testing.providers import Providers
from sovbroker.transfer.outgoing import SMALL

OVH, OUTSCALE, GOOGLE, AZURE = "ovhcloud/gra", "outscale/eu-west-2", "gcp/europe-west9", "azure/francecentral"

POLICY = """
sovbroker: 1
levels: [one, every]
default: every
zones: {anywhere: {}}
require:
  one: {store: {anywhere: {}}}
  every: {store: {anywhere: {encrypt: client, names: encrypt}}, copies: {count: %d, distinct: [provider]}}
classify:
  - {id: one, path: "one/**", label: one}
"""


@pytest.fixture(scope="module")
def running():
    with servers.moto() as ovh, servers.moto() as outscale, fake_gcs() as google, BlobService() as azure:
        for server in (ovh, outscale, google):
            server.create_bucket("objects")
        azure.server.create_container("objects")
        yield {OVH: ovh, OUTSCALE: outscale, GOOGLE: google, AZURE: azure.server}


@pytest.fixture
def providers(running):
    with Providers({target: server.host for target, server in running.items()}) as providers:
        yield providers


@pytest.fixture
def opened(clouds, running, providers, monkeypatch):
    """A function that opens a broker whose targets have these endpoints, and the right ones otherwise."""
    brokers = []

    def open_broker(*, targets=(OVH, OUTSCALE, GOOGLE, AZURE), **wrong):
        clouds.write(policy=POLICY % len(targets), targets=())
        secrets = {
            AZURE: f'{{account: "{running[AZURE].account}", access_key: "{running[AZURE].key}"}}',
            GOOGLE: "{}",
        }
        lines = []
        for target in targets:
            url = wrong.get(target.split("/")[0], providers.url(target))
            line = f'  - {{at: {target}, bucket: objects, endpoint: "{url}", emulated: true'
            own = secrets.get(target, "{access_key: test, secret_key: testtest}")
            lines.append(line + (f", credentials: {own}" if own != "{}" else "") + "}\n")
        path = clouds.folder / "sovbroker.yaml"
        path.write_text(path.read_text() + "".join(lines))
        monkeypatch.undo()
        monkeypatch.setenv("SOVBROKER_PASSPHRASE", "a passphrase that the tests made up")
        brokers.append(sovbroker.open(path))
        return brokers[-1]

    yield open_broker
    for broker in brokers:
        broker.close()


def use(broker):
    """Do what a program does."""
    for size in (0, 3000, SMALL + 5):
        broker.put(f"every/{size}", os.urandom(size))
        assert len(broker.read(f"every/{size}")) == size
    broker.put("every/3000", b"replaced")
    broker.copy("every/3000", "one/copy")
    broker.delete("every/0")


def test_each_request_comes_to_the_provider_that_it_names(opened, providers):
    broker = opened()
    use(broker)
    providers.check(broker)
    assert {request.provider for request in providers.asked()} == {OVH, OUTSCALE, GOOGLE, AZURE}
    assert all(request.host == urlsplit(providers.url(request.provider)).netloc for request in providers.asked())


def test_two_targets_with_each_others_endpoint_are_found_out(opened, providers):
    """The control: without the look at it, everything goes on as if nothing were wrong."""
    broker = opened(targets=(OVH, OUTSCALE), ovhcloud=providers.url(OUTSCALE), outscale=providers.url(OVH))
    broker.put("one/a", b"x" * 100)
    (copy,) = broker.stat("one/a").copies
    assert broker.read("one/a") == b"x" * 100
    with pytest.raises(AssertionError, match=f"was asked for an object of {copy.target}"):
        providers.check(broker)


def test_a_target_with_anothers_endpoint_is_found_out(opened, providers):
    broker = opened(ovhcloud=providers.url(OUTSCALE))
    broker.put("every/a", b"x")
    assert broker.read("every/a") == b"x"
    with pytest.raises(AssertionError, match=f"{OVH} was never asked for its copy"):
        providers.check(broker)


def test_a_request_that_names_another_host_is_found_out(opened, providers):
    broker = opened()
    broker.put("every/a", b"x")
    providers.check(broker)
    here = urlsplit(providers.url(OVH)).netloc
    connection = http.client.HTTPConnection(here, timeout=30)
    connection.request("GET", "/objects", headers={"Host": "s3.eu-west-3.amazonaws.com"})
    connection.getresponse().read()
    connection.close()
    with pytest.raises(AssertionError, match=r"was asked for what belongs to s3\.eu-west-3\.amazonaws\.com"):
        providers.check(broker)


def test_one_server_for_two_targets_proves_nothing(running):
    with pytest.raises(AssertionError, match="share one server"):
        Providers({OVH: running[OVH].host, OUTSCALE: running[OVH].host})


def test_nothing_asked_proves_nothing(opened, providers):
    with pytest.raises(AssertionError, match="nothing is asserted"):
        providers.check(opened())
