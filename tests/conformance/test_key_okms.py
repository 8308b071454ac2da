"""The suite on a service that speaks OVHcloud's interface and checks client certificates."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sovbroker.errors import ConfigError, KeyUnavailable
from sovbroker.ports import KeyBinding
from sovbroker.testing.conformance.keyservices import KeyServiceSuite
from sovbroker.testing.okms import fake_okms
from sovbroker_adapters.okms import build


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def issued(folder, name, *, issuer=None):
    """Write a certificate and its key, made just now; return them with what issues others."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = issuer or (named(name), key)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(signer[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(signer[1], hashes.SHA256())
    )
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, private, (named(name), key)


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers")
    authority, _, issuer = issued(folder, "authority")
    stranger, _, other = issued(folder, "stranger")
    return {
        "authority": authority,
        "server": issued(folder, "server", issuer=issuer)[:2],
        "client": issued(folder, "client", issuer=issuer)[:2],
        "intruder": issued(folder, "intruder", issuer=other)[:2],
        "stranger": stranger,
    }


@pytest.fixture(scope="module")
def server(papers):
    certificate, key = papers["server"]
    with fake_okms(certificate=certificate, key=key, clients=papers["authority"]) as running:
        yield running


@pytest.fixture
def opened(server, papers):
    made = []

    def make(key, *, who="client", hosts=None, **settings):
        certificate, private = papers[who]
        given = {"certificate": str(certificate), "private-key": str(private), "ca-bundle": str(papers["authority"])}
        binding = KeyBinding(
            "okms",
            key,
            server.url,
            hosts=frozenset(hosts or {server.host}),
            settings={**given, "timeout": 4, **settings},
        )
        made.append(build(binding))
        return made[-1]

    yield make
    for each in made:
        each.close()


class TestOkms(KeyServiceSuite):
    @pytest.fixture
    def key(self, server):
        return server.make_key()

    @pytest.fixture
    def service(self, opened, key):
        return opened(key)

    @pytest.fixture
    def again(self, opened, key):
        return opened(key)

    @pytest.fixture
    def other(self, opened, server):
        return opened(server.make_key())

    @pytest.fixture
    def power(self, server, key):
        def become(state):
            def act():
                server.become(key, state)
                return None if state == "destroyed" else lambda: server.become(key, "active")

            return act

        def stall():
            server.silent.set()
            return server.silent.clear

        def cut():
            server.gone.set()
            return server.gone.clear

        def delay():
            server.pause = 0.2
            return lambda: setattr(server, "pause", 0.0)

        acts = {"disable": become("deactivated"), "destroy": become("destroyed")}
        return {**acts, "stall": stall, "cut": cut, "delay": delay}.__getitem__


def test_a_certificate_of_somebody_else_opens_nothing(server, opened):
    with pytest.raises(KeyUnavailable, match="out of reach"):
        opened(server.make_key(), who="intruder").wrap(b"secret", b"context")


def test_a_service_that_nobody_vouches_for_is_told_nothing(server, opened, papers):
    with pytest.raises(KeyUnavailable, match="out of reach"):
        opened(server.make_key(), **{"ca-bundle": str(papers["stranger"])}).wrap(b"secret", b"context")


def test_no_other_host_is_talked_to(server, opened):
    with pytest.raises(KeyUnavailable, match="nothing was sent"):
        opened(server.make_key(), hosts={"eu-west-rbx.okms.ovh.net"}).wrap(b"secret", b"context")


def test_what_could_only_fail_later_is_refused_at_once(server, opened, papers, tmp_path):
    certificate, private = papers["client"]
    with pytest.raises(ConfigError, match="OKMS-ID/KEY-ID"):
        opened("only-a-key")
    readable = tmp_path / "readable.key"
    readable.write_bytes(private.read_bytes())
    readable.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        opened(server.make_key(), **{"private-key": str(readable)})
    with pytest.raises(ConfigError, match="cannot be used"):
        opened(server.make_key(), **{"private-key": str(papers["intruder"][1])})
    with pytest.raises(ConfigError, match="no such setting"):
        opened(server.make_key(), cert=str(certificate))
    with pytest.raises(ConfigError, match="https://"):
        build(KeyBinding("okms", "a/b", "http://127.0.0.1:1"))
