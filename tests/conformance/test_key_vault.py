"""The suite on a real OpenBao server, with a token that may use one key and do nothing else."""

import itertools

import pytest

from sovbroker.ports import Credentials, KeyBinding
from sovbroker.testing.chaos import ChaosProxy, Latency, Reset, Stall
from sovbroker.testing.conformance.keyservices import KeyServiceSuite
from sovbroker.testing.openbao import openbao
from sovbroker_adapters.vault import build

numbers = itertools.count()


@pytest.fixture(scope="module")
def server():
    with openbao() as running:
        yield running


@pytest.fixture
def proxy(server):
    with ChaosProxy(server.host) as running:
        yield running


class TestVault(KeyServiceSuite):
    @pytest.fixture
    def opened(self, server, proxy):
        made = []

        def make(key):
            credentials = Credentials({"token": server.make_token(key)})
            hosts = frozenset({proxy.url.removeprefix("http://")})
            binding = KeyBinding(key, key, proxy.url, hosts=hosts, credentials=credentials, settings={"timeout": 1})
            made.append(build(binding))
            return made[-1]

        yield make
        for each in made:
            each.close()

    @pytest.fixture
    def key(self, server):
        name = f"key-{next(numbers)}"
        server.make_key(name)
        return name

    @pytest.fixture
    def service(self, opened, key):
        return opened(key)

    @pytest.fixture
    def again(self, opened, key):
        return opened(key)

    @pytest.fixture
    def other(self, opened, server):
        name = f"key-{next(numbers)}"
        server.make_key(name)
        return opened(name)

    @pytest.fixture
    def power(self, server, proxy, key):
        def disable():
            server.permit(key, allowed=False)
            return lambda: server.permit(key, allowed=True)

        def faulty(fault):
            def act():
                proxy.always(fault)
                return lambda: proxy.always(None)

            return act

        def destroy():
            server.ask("DELETE", f"transit/keys/{key}")

        acts = {"cut": faulty(Reset()), "stall": faulty(Stall()), "delay": faulty(Latency(0.2))}
        return {"disable": disable, "destroy": destroy, **acts}.__getitem__
