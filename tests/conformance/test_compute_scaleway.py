"""The suite on a service of ours, in which whatever is asked and answered is of the types of Scaleway's own SDK."""

import contextlib
import dataclasses
import enum
import itertools
import json
import re
import types
import typing
from datetime import datetime

import pytest
import requests
from scaleway.block.v1 import api as block_api
from scaleway.block.v1 import types as block
from scaleway.instance.v1 import custom_api as instance_api
from scaleway.instance.v1 import types as instance
from scaleway.marketplace.v2 import api as marketplace_api
from scaleway.marketplace.v2 import types as marketplace
from scaleway_core.client import Client

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.chaos import ChaosProxy, Stall, Status
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker.testing.contracts import Said
from sovbroker.testing.scaleway import CREDENTIALS, IMAGE, PROJECT, PROVIDER, ZONES, ScalewayService
from sovbroker_adapters.scaleway import build
from sovbroker_adapters.scaleway.client import Connection
from sovbroker_adapters.scaleway.machines import ScalewayMachines

numbers = itertools.count()
ABSENT = "fr-par-1/ffffffff-ffff-4fff-bfff-ffffffffffff"


ZONED = r"/instance/v1/zones/[^/]+"
VOLUMES = r"/block/v1/zones/[^/]+/volumes"
TYPES = {
    f"GET {ZONED}/products/servers": (None, instance.ListServersTypesResponse),
    f"GET {ZONED}/products/servers/availability": (None, instance.GetServerTypesAvailabilityResponse),
    f"GET {ZONED}/images": (None, instance.ListImagesResponse),
    f"GET {ZONED}/images/[^/]+": (None, instance.GetImageResponse),
    f"GET {ZONED}/dashboard": (None, instance.GetDashboardResponse),
    f"GET {ZONED}/security_groups": (None, instance.ListSecurityGroupsResponse),
    f"GET {ZONED}/servers": (None, instance.ListServersResponse),
    f"POST {ZONED}/servers": (instance.CreateServerRequest, instance.CreateServerResponse),
    f"GET {ZONED}/servers/[^/]+": (None, instance.GetServerResponse),
    f"DELETE {ZONED}/servers/[^/]+": (None, None),
    f"POST {ZONED}/servers/[^/]+/action": (instance.ServerActionRequest, instance.ServerActionResponse),
    f"GET {ZONED}/servers/[^/]+/user_data": (None, instance.ListServerUserDataResponse),
    f"PATCH {ZONED}/servers/[^/]+/user_data/cloud-init": (bytes, None),
    f"POST {ZONED}/servers/[^/]+/attach-volume": (
        instance.AttachServerVolumeRequest,
        instance.AttachServerVolumeResponse,
    ),
    f"POST {ZONED}/servers/[^/]+/detach-volume": (
        instance.DetachServerVolumeRequest,
        instance.DetachServerVolumeResponse,
    ),
    "GET /marketplace/v2/images": (None, marketplace.ListImagesResponse),
    "GET /marketplace/v2/local-images": (None, marketplace.ListLocalImagesResponse),
    f"GET {VOLUMES}": (None, block.ListVolumesResponse),
    f"POST {VOLUMES}": (block.CreateVolumeRequest, block.Volume),
    f"GET {VOLUMES}/[^/]+": (None, block.Volume),
    f"PATCH {VOLUMES}/[^/]+": (block.UpdateVolumeRequest, block.Volume),
    f"DELETE {VOLUMES}/[^/]+": (None, None),
}
IN_PATHS = {"zone", "server_id", "volume_id", "total_count"}
"""What the SDK's types have, and stands in the path of a request or in a header of an answer."""


def judged(value, kind, where):
    """Assert that a value is of a type of the SDK: every name known, none lacking that the type cannot be without."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        if value is not None:
            judged(value, next(one for one in inner if one is not type(None)), where)
    elif origin is list:
        assert isinstance(value, list), where
        for one in value:
            judged(one, *inner, where)
    elif origin is dict:
        assert isinstance(value, dict), where
        for name, one in value.items():
            judged(one, inner[1], f"{where}.{name}")
    elif dataclasses.is_dataclass(kind):
        judged_object(value, kind, where)
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        assert value in {one.value for one in kind}, (where, value)
    elif kind is datetime:
        assert datetime.fromisoformat(value).tzinfo is not None, where
    else:
        assert type(value) is kind or (kind, type(value)) == (float, int), (where, value)


def judged_object(value, kind, where):
    """Assert the same of an object."""
    hints = typing.get_type_hints(kind)
    fields = {one.name.rstrip("_"): one for one in dataclasses.fields(kind)}
    assert isinstance(value, dict), where
    assert value.keys() <= fields.keys(), (where, value.keys() - fields.keys())
    without = {
        name
        for name, one in fields.items()
        if one.default is one.default_factory is dataclasses.MISSING and name not in IN_PATHS
    }
    assert without <= value.keys(), (where, without - value.keys())
    for name, one in value.items():
        judged(one, hints[fields[name].name], f"{where}.{name}")


class JudgedService(ScalewayService):
    """The service, in which each request that is taken and its answer are of the SDK's types."""

    def __init__(self):
        super().__init__()
        self.wrong = []
        self.judged = set()

    def handle(self, method, target, headers, raw):
        said = super().handle(method, target, headers, raw)
        if said.status < 400:
            try:
                self.judge(f"{method} {target.partition('?')[0]}", raw, said)
            except AssertionError as error:
                self.wrong.append(str(error))
        return said

    def judge(self, call, raw, said):
        (name,) = [one for one in TYPES if re.fullmatch(one, call)]
        self.judged.add(name)
        asked, told = TYPES[name]
        if asked is None:
            assert not raw
        elif asked is not bytes:
            judged(json.loads(raw), asked, call)
        if told is None:
            assert said.body is None
        else:
            judged(said.body, told, call)


@pytest.fixture
def service():
    with JudgedService() as running:
        yield running
        assert running.wrong == []
        assert running.ips == {}
        assert running.local == {}


@pytest.fixture
def compute(service):
    opened = ScalewayMachines(Connection(service.binding(), sleep=lambda seconds: None))
    yield opened
    opened.close()


@pytest.fixture
def wanted():
    token = f"launch-{next(numbers):04}-00"
    script = b"#!/bin/sh\ntrue\n"
    return Launch(token, "one", "DEV1-S", IMAGE, user_data=script, tags={"sovbroker-launch": token})


@pytest.fixture
def source():
    return ImageSource(PROVIDER, "debian_bookworm")


NO_ROOM = {
    "quota": (f"POST /instance/v1/zones/{ZONES[0]}/servers", 403, "quotas_exceeded"),
    "stock": (f"POST /instance/v1/zones/{ZONES[0]}/servers", 400, "out_of_stock"),
    "stock at the start": (f"POST /instance/v1/zones/{ZONES[0]}/servers/", 400, "out_of_stock"),
}


class TestScaleway(ComputeSuite):
    absent = ABSENT
    no_room = tuple(NO_ROOM)

    @pytest.fixture
    def full(self, service):
        @contextlib.contextmanager
        def full(how):
            call, status, kind = NO_ROOM[how]
            service.refuse[call] = Said(status, {"type": kind, "message": "no room", "details": []})
            yield
            assert service.refuse == {}
            assert (service.servers, service.disks) == ({}, {})

        return full


class Sdk:
    """The provider's SDK, whose requests go to the service as they are."""

    def __init__(self, service):
        self.service = service
        secret = CREDENTIALS["secret_key"]
        client = Client("SCWXXXXXXXXXXXXXXXXX", secret, default_project_id=PROJECT, default_zone=ZONES[0])
        client.default_page_size = 50
        self.instance = instance_api.InstanceUtilsV1API(client, bypass_validation=True)
        self.block = block_api.BlockV1API(client, bypass_validation=True)
        self.marketplace = marketplace_api.MarketplaceV2API(client, bypass_validation=True)
        for api in (self.instance, self.block, self.marketplace):
            api._request = self.request

    def request(self, method, path, params=(), headers=(), body=None):
        query = [(name, value) for name, value in dict(params).items() if value is not None]
        told = "&".join(f"{name}={str(value).lower() if value is False else value}" for name, value in query)
        kind = dict(headers).get("Content-Type", "application/json")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"x-auth-token": CREDENTIALS["secret_key"], "content-type": kind}
        said = self.service.handle(method, f"{path}?{told}" if told else path, sent, raw)
        assert said.status < 400, (method, path, told, raw, said)
        answer = requests.Response()
        answer.status_code = said.status
        total = {"total_count": int(said.headers["X-Total-Count"])} if "X-Total-Count" in said.headers else {}
        answer._content = json.dumps({**said.body, **total} if isinstance(said.body, dict) else said.body).encode()
        return answer


def test_the_sdk_itself_is_served(service):
    """Its methods, paths, queries and bodies are those that the service takes, and it reads what the service says."""
    sdk = Sdk(service)
    compute, disks, first = sdk.instance, sdk.block, {"page": 1}
    sizes = compute.list_servers_types(**first).servers
    assert (sizes["DEV1-S"].ncpus, sizes["DEV1-S"].hourly_price) == (2, 0.0088)
    assert compute.get_server_types_availability(**first).servers["SHORT-1"].availability == "shortage"
    assert IMAGE not in {one.id for one in compute.list_images(**first).images}
    assert compute.get_image(image_id=IMAGE).image.organization == PROVIDER
    assert "debian_bookworm" in {one.label for one in sdk.marketplace.list_images(include_eol=False, **first).images}
    local = sdk.marketplace.list_local_images(
        image_label="debian_bookworm", zone=ZONES[0], type_=marketplace.LocalImageType.INSTANCE_SBS, **first
    )
    assert IMAGE in {one.id for one in local.local_images}
    made = compute._create_server(
        commercial_type="DEV1-S",
        name="one",
        image=IMAGE,
        dynamic_ip_required=True,
        protected=False,
        project=PROJECT,
        tags=["a=b"],
    ).server
    assert (made.state, made.tags) == ("stopped", ["a=b"])
    compute.set_server_user_data(made.id, "cloud-init", b"#!/bin/sh\n")
    assert compute.list_server_user_data(server_id=made.id).user_data == ["cloud-init"]
    compute.server_action(server_id=made.id, action=instance.ServerAction.POWERON)
    assert compute.get_server(server_id=made.id).server.state == "starting"
    assert [one.state for one in compute.list_servers(**first).servers] == ["running"]
    assert service.ran == {made.id: b"#!/bin/sh\n"}
    asked = {"name": "data", "from_empty": block.CreateVolumeRequestFromEmpty(size=10**9), "tags": ["a=b"]}
    data = disks.create_volume(**asked)
    assert data.status == "creating"
    disks.get_volume(volume_id=data.id)
    assert disks.update_volume(volume_id=data.id, tags=["c=d"]).tags == ["c=d"]
    kind = instance.AttachServerVolumeRequestVolumeType.SBS_VOLUME
    compute.attach_server_volume(server_id=made.id, volume_id=data.id, volume_type=kind)
    listed = {one.id: one for one in disks.list_volumes(include_deleted=False, **first).volumes}
    assert listed[data.id].references[0].product_resource_id == made.id
    compute.detach_server_volume(server_id=made.id, volume_id=data.id)
    disks.get_volume(volume_id=data.id)
    disks.delete_volume(volume_id=data.id)
    assert compute.get_dashboard().dashboard.servers_count == 1
    assert [one.project_default for one in compute.list_security_groups(**first).security_groups] == [True]
    compute.server_action(server_id=made.id, action=instance.ServerAction.POWEROFF)
    compute.get_server(server_id=made.id)
    compute.delete_server(server_id=made.id)
    assert service.servers == {}
    assert service.judged == set(TYPES)


MADE = {
    "name": "one",
    "commercial_type": "DEV1-S",
    "image": IMAGE,
    "project": PROJECT,
    "tags": [],
    "dynamic_ip_required": True,
    "protected": False,
}


@pytest.mark.parametrize(
    ("headers", "body", "status", "kind"),
    [
        ({}, MADE, 201, None),
        ({"x-auth-token": ""}, MADE, 401, "denied_authentication"),
        ({"x-auth-token": "another"}, MADE, 401, "denied_authentication"),
        ({"content-type": "text/plain"}, MADE, 415, None),
        ({}, {**MADE, "colour": "red"}, 400, "invalid_arguments"),
        ({}, {**MADE, "tags": {"a": "b"}}, 400, "invalid_arguments"),
        ({}, {**MADE, "dynamic_ip_required": "true"}, 400, "invalid_arguments"),
        ({}, {**MADE, "commercial_type": "NONE-1"}, 400, "invalid_arguments"),
        ({}, {**MADE, "image": PROJECT}, 404, "unknown_resource"),
        ({}, {**MADE, "project": IMAGE}, 403, "permissions_denied"),
        ({}, {name: value for name, value in MADE.items() if name != "image"}, 400, "invalid_arguments"),
    ],
)
def test_the_service_takes_nothing_else(service, headers, body, status, kind):
    sent = {"x-auth-token": CREDENTIALS["secret_key"], "content-type": "application/json", **headers}
    said = service.handle("POST", f"/instance/v1/zones/{ZONES[0]}/servers", sent, json.dumps(body).encode())
    assert (said.status, said.body.get("type")) == (status, kind)
    assert len(service.servers) == (status == 201)


@pytest.mark.parametrize(
    "call",
    [
        "GET /instance/v1/zones/fr-par-9/servers?page=1&per_page=1",
        "GET /instance/v1/zones/fr-par-1/servers",
        f"GET /instance/v1/zones/fr-par-1/servers?page=1&per_page=1&project={PROJECT}&colour=red",
        f"GET /instance/v1/zones/fr-par-1/servers?page=1&per_page=101&project={PROJECT}",
        f"PUT /instance/v1/zones/fr-par-1/servers?project={PROJECT}",
        "GET /instance/v2/zones/fr-par-1/servers",
    ],
)
def test_the_service_has_no_other_calls(service, call):
    method, _, target = call.partition(" ")
    sent = {"x-auth-token": CREDENTIALS["secret_key"]}
    assert service.handle(method, target, sent, b"").status in {400, 404}


def test_what_is_not_of_the_sdks_types_is_seen(service):
    with pytest.raises(AssertionError, match="servers"):
        service.judge("GET /instance/v1/zones/fr-par-1/dashboard", b"", Said(200, {"dashboard": {"servers": 1}}))
    with pytest.raises(AssertionError, match="colour"):
        service.judge("POST /instance/v1/zones/fr-par-1/servers", b'{"colour": "red"}', Said(201, {"server": None}))


@pytest.fixture(scope="module")
def proxied():
    with ScalewayService() as service, ChaosProxy(service.host) as proxy:
        binding = service.binding(settings={"attempts": 1})
        opened = build(dataclasses.replace(binding, endpoint=proxy.url, hosts=frozenset({proxy.host})))
        yield proxy, opened
        opened.close()


class TestScalewayFaults(ComputeFaultSuite):
    absent = ABSENT
    lacking = frozenset({"public_keys", "import_key", "delete_key"})

    @pytest.fixture
    def answered(self, proxied):
        proxy, opened = proxied

        def make(status, body, *, pause=0.0):
            proxy.always(Stall() if pause else Status(status, body, (("Location", "http://127.0.0.1:9/"),)))
            return opened

        return make
