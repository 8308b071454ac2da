"""Everything that is sent when a machine with secrets is launched, lives and is destroyed, at every provider."""

import json
import socket
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth import jwt

from sovbroker import policy as policies
from sovbroker.catalogue.facts import Basis, Confidence, Evidence, Fact, Facts, Target
from sovbroker.compute import Compute, ComputePlace, Journal, Providers, Surroundings
from sovbroker.compute.boot import depositing
from sovbroker.errors import InvalidArgument
from sovbroker.machines import ComputeFeature, ImageSource, SecretTicket
from sovbroker.placements import SqliteIndex
from sovbroker.ports import Binding
from sovbroker.testing import arm, clevercloud, cloudtemple, gce, openstack, outscale, ovh, scaleway
from sovbroker.testing.ec2 import Ec2Gateway
from sovbroker.testing.recorder import traces
from sovbroker_adapters import settling
from sovbroker_adapters.azure_arm.client import Connection as ArmConnection
from sovbroker_adapters.azure_arm.machines import ArmMachines
from sovbroker_adapters.clevercloud import build as build_clever_cloud
from sovbroker_adapters.cloudtemple import build as build_cloud_temple
from sovbroker_adapters.ec2 import build as build_ec2
from sovbroker_adapters.gce.client import Connection as GceConnection
from sovbroker_adapters.gce.machines import GceMachines
from sovbroker_adapters.gce.signing import ServiceAccount
from sovbroker_adapters.openstack import build as build_openstack
from sovbroker_adapters.outscale import build as build_outscale
from sovbroker_adapters.ovh import build_machines as build_ovh
from sovbroker_adapters.scaleway import build as build_scaleway

POLICY = """
sovbroker: 1
name: traffic
levels: [secret]
default: secret
zones: {anywhere: {}}
require: {secret: {store: {anywhere: {}}, compute: [anywhere]}}
"""
SECRETS = {"password": "correct horse/battery+staple=?", "pin": "é4711ü"}
TICKET = "hvs.a-ticket-that-is-good-once"
KEY = generate_private_key(65537, 2048)
ACCOUNT = {
    "type": "service_account",
    "client_email": "a@b.example",
    "private_key_id": "1",
    "private_key": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    "token_uri": "http://169.254.169.254/token",
}


def google():
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return gce.GceService(lambda token: jwt.decode(token, certs=public))


def open_google(service):
    binding = service.binding(json.dumps(ACCOUNT))
    return GceMachines(GceConnection(binding, ServiceAccount.of(binding)))


PROVIDERS = {
    "ec2": (None, lambda s: build_ec2(s.binding()), ("099720109477", "ubuntu/images/*trusty-14.04*")),
    "outscale": (outscale.OutscaleService, lambda s: build_outscale(s.binding()), ("Outscale", "Debian-12-*")),
    "ovhcloud": (ovh.OvhService, lambda s: build_ovh(s.binding()), ("", "Debian 12")),
    "azure-arm": (
        arm.ArmService,
        lambda s: ArmMachines(ArmConnection(s.binding(), authority=s.url)),
        ("Debian", "debian-12:12-gen2"),
    ),
    "gce": (google, open_google, ("debian-cloud", "debian-12-*")),
    "openstack": (
        openstack.OpenStackService,
        lambda s: build_openstack(s.binding()),
        (openstack.OWNER, "Debian 12*"),
    ),
    "scaleway": (
        scaleway.ScalewayService,
        lambda s: build_scaleway(s.binding()),
        (scaleway.PROVIDER, "debian_bookworm"),
    ),
    "clever-cloud": (clevercloud.CleverCloudService, lambda s: build_clever_cloud(s.binding()), ("", "docker*")),
    "cloud-temple": (cloudtemple.CloudTempleService, lambda s: build_cloud_temple(s.binding()), ("", "Debian 12")),
}


class Box:
    """Keeps secrets, and tells nobody."""

    def __init__(self):
        self.kept = {}

    def deposit(self, machine, secrets):
        self.kept[machine] = dict(secrets)
        return SecretTicket(TICKET, "https://bao.example/v1/sys/wrapping/unwrap")

    def close(self):
        """Nothing is open."""


class Place(ComputePlace):
    """A place whose provider is open."""

    def __init__(self, target, provider, source):
        super().__init__(target, "none", Binding(target.id, ""), images={"mine": ImageSource(*source)})
        object.__setattr__(self, "_provider", provider)

    def open(self):
        return self._provider


@pytest.fixture
def sent(monkeypatch):
    """All that this process sends over sockets: of the adapter, and of the service that plays the provider."""
    data = bytearray()

    def keeping(name):
        real = getattr(socket.socket, name)

        def act(self, first, *args):
            data.extend(b"".join(first) if name == "sendmsg" else first)
            return real(self, first, *args)

        return act

    for name in ("send", "sendall", "sendmsg"):
        monkeypatch.setattr(socket.socket, name, keeping(name))
    return data


@pytest.fixture(params=PROVIDERS)
def provider(request, moto):
    """A provider's adapter, open at the service that plays the provider, and where its image is."""
    make, build, source = PROVIDERS[request.param]
    with (make or (lambda: Ec2Gateway(moto.host)))() as service:
        opened = build(service)
        yield opened, source
        opened.close()


@pytest.fixture
def house(provider, tmp_path, monkeypatch):
    # What a service of the tests' own changes is done when it is looked at again.
    monkeypatch.setattr(settling, "PAUSE", 0.001)
    opened, source = provider
    sure = Evidence(Basis.VERIFIED, Confidence.HIGH)
    facts = Facts(Fact(frozenset({"FR"}), sure), Fact(frozenset({"FR"}), sure), Fact(None, sure))
    place = Place(Target("p/compute@r", "p", "r", facts, offer="compute", site="p/r"), opened, source)
    policy = policies.loads(POLICY, targets=[place.target])
    index = SqliteIndex(tmp_path / "state.db")
    box = Box()
    around = Surroundings(
        governing=lambda: policy,
        index=index,
        sites={},
        providers=Providers({place.target.id: place}),
        journal=Journal(tmp_path / "state.db"),
        clock=lambda: datetime.now(UTC),
    )
    yield Compute(around, deposit=depositing(box)), box, opened
    index.close()


def test_no_secret_of_a_machine_is_ever_sent_to_its_provider(house, sent):
    compute, box, opened = house
    asked = {"image": "mine", "secrets": SECRETS, "user_data": "#!/bin/sh\necho the-job\n"}
    if opened.capabilities[ComputeFeature.USER_DATA].usable:
        node = compute.launch("job", **asked)
        assert compute.launch("job", **asked).id == node.id
        assert [one.name for one in compute.list()] == ["job"]
        assert len(compute.audit().machines) == 1
        compute.destroy("job")
        assert list(box.kept.values()) == [SECRETS]
        # That it is found shows that what is sent is seen.
        assert traces(TICKET.encode(), bytes(sent)) != []
    else:
        with pytest.raises(InvalidArgument, match="it has no `user-data`"):
            compute.launch("job", image="mine", secrets=SECRETS)
        assert box.kept == {}
    assert opened.machines() == []
    for secret in SECRETS.values():
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            assert traces(secret.encode(encoding), bytes(sent)) == []


def test_a_secret_in_a_script_is_refused_before_anything_is_sent(house, sent):
    compute, box, _ = house
    for secret in SECRETS.values():
        with pytest.raises(InvalidArgument, match="user_data holds the secret"):
            compute.launch("job", image="mine", secrets=SECRETS, user_data=f"#!/bin/sh\nlogin {secret}\n")
    assert (bytes(sent), box.kept) == (b"", {})
