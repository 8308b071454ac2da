"""The suite on moto's KMS. It disables no key, whatever it is told: there, the proxy answers in the service's words."""

import itertools

import pytest

from sovbroker.errors import KeyUnavailable
from sovbroker.keys import Keyring
from sovbroker.ports import Credentials, KeyBinding
from sovbroker.testing.chaos import ChaosProxy, Latency, Reset, Stall, Status
from sovbroker.testing.conformance.keyservices import KeyServiceSuite
from sovbroker_adapters.kms import build

DISABLED = Status(400, b'{"__type": "DisabledException", "message": "arn:aws:kms:eu-west-3:1:key/x is disabled."}')
numbers = itertools.count()


@pytest.fixture
def proxy(moto):
    with ChaosProxy(moto.host) as running:
        yield running


@pytest.fixture
def opened(moto, proxy):
    made = []

    def make(key):
        credentials = Credentials({"access_key": moto.access_key, "secret_key": moto.secret_key})
        settings = {"timeout": 1, "attempts": 2}
        hosts = frozenset({proxy.host})
        made.append(build(KeyBinding("kms", key, proxy.url, "eu-west-3", hosts, credentials, settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def service(opened, key):
    return opened(key)


@pytest.fixture
def again(opened, key):
    return opened(key)


@pytest.fixture
def other(opened, kms_keys):
    return opened(kms_keys.create_key()["KeyMetadata"]["KeyId"])


@pytest.fixture
def power(proxy, kms_keys, key):
    def faulty(fault):
        def act():
            proxy.always(fault)
            return lambda: proxy.always(None)

        return act

    def destroy():
        kms_keys.delete_alias(AliasName=key)

    return {
        "disable": faulty(DISABLED),
        "cut": faulty(Reset()),
        "stall": faulty(Stall()),
        "delay": faulty(Latency(0.2)),
        "destroy": destroy,
    }.__getitem__


class TestKms(KeyServiceSuite):
    powers = ("disable", "cut", "stall")

    @pytest.fixture
    def key(self, kms_keys):
        return kms_keys.create_key()["KeyMetadata"]["Arn"]


class TestKmsByAlias(KeyServiceSuite):
    @pytest.fixture
    def key(self, kms_keys):
        name = f"alias/suite-{next(numbers)}"
        kms_keys.create_alias(AliasName=name, TargetKeyId=kms_keys.create_key()["KeyMetadata"]["KeyId"])
        return name


def test_a_keyring_is_opened_by_it(opened, kms_keys, tmp_path):
    names = [kms_keys.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)]
    keyring, _ = Keyring.create(tmp_path / "keyring.json", opened(names[0]), recovery=False)
    kid = keyring.domain("health").kid
    keyring.close()
    with Keyring.open(tmp_path / "keyring.json", opened(names[0])) as again:
        assert again.by_kid(kid).kid == kid
    with pytest.raises(KeyUnavailable, match="does not open"):
        Keyring.open(tmp_path / "keyring.json", opened(names[1]))
