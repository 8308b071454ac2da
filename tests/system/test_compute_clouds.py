"""Machines at four providers at once, from a configuration: placed by label, found, stopped, compared, destroyed."""

import re
from datetime import date

import pytest

import sovbroker
from sovbroker.compute import Standing
from sovbroker.compute.needs import Needs
from sovbroker.compute.prices import shipped_prices
from sovbroker.errors import NoCapacity, Unavailable
from sovbroker.testing.ec2 import Ec2Gateway
from sovbroker.testing.outscale import OutscaleService, RefusalError
from sovbroker.testing.ovh import OvhService
from sovbroker.testing.scaleway import PROVIDER, ScalewayService

POLICY = """
sovbroker: 1
name: clouds
levels: [public, internal, restricted]
default: restricted
zones:
  sovereign: {controlled: [FR], located: [FR]}
  european: {controlled: [EEA], located: [EEA]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}, compute: [anywhere]}
  internal: {store: {european: {}}, compute: [european]}
  restricted: {store: {sovereign: {}}, compute: [sovereign]}
classify:
  - {id: web, path: "web/**", label: public}
  - {id: jobs, path: "jobs/**", label: internal}
"""
SECRETS = ("access_key", "secret_key", "application_key", "application_secret", "consumer_key")
IMAGES = {
    "aws": ("099720109477", "ubuntu/images/*trusty-14.04*"),
    "outscale": ("Outscale", "Debian-12-*"),
    "scaleway": (PROVIDER, "debian_bookworm"),
}


@pytest.fixture
def services(moto):
    with (
        Ec2Gateway(moto.host) as ec2,
        OutscaleService() as outscale,
        OvhService() as ovh,
        ScalewayService() as scaleway,
    ):
        yield {
            "aws/eu-west-3": ec2,
            "outscale/eu-west-2": outscale,
            "ovhcloud/gra": ovh,
            "scaleway/fr-par": scaleway,
        }


@pytest.fixture
def broker(services, tmp_path, monkeypatch):
    places = []
    for at, service in services.items():
        binding, provider = service.binding(), at.partition("/")[0]
        secrets = {name: value for name in SECRETS if (value := binding.credentials.get(name))}
        for name, value in secrets.items():
            monkeypatch.setenv(f"{provider}_{name}".upper(), value)
        credentials = ", ".join(f"{name}: {{env: {provider.upper()}_{name.upper()}}}" for name in secrets)
        owner, pattern = IMAGES.get(provider, ("", "Debian 12"))
        project = f'project: "{binding.container}",' if binding.container else ""
        owned = f'owner: "{owner}", ' if owner else ""
        if provider == "ovhcloud":
            binding.settings["region"] = "GRA11"
        if provider == "scaleway":
            binding.settings["attempts"] = 1
        settings = ", ".join(f"{name}: {value}" for name, value in binding.settings.items())
        places.append(
            f'  - {{at: {at}, endpoint: "{binding.endpoint}", emulated: true, {project}\n'
            f"     credentials: {{{credentials}}}, settings: {{{settings}}},\n"
            f'     images: {{mine: {{{owned}pattern: "{pattern}"}}}}}}\n'
        )
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "sovbroker.yaml").write_text(
        "sovbroker: 1\npolicy: policy.yaml\ntargets: [{at: memory, located: FR, controlled: FR}]\ncompute:\n"
        + "".join(places)
    )
    with sovbroker.open(tmp_path / "sovbroker.yaml") as opened:
        yield opened
        for node in opened.compute.list():
            opened.compute.destroy(node.name)


def test_every_provider_is_asked_and_told_of(broker):
    plan = broker.compute.explain("web/x", image="mine")
    assert {one.target for one in plan.options} == set(broker.compute.places), str(plan)
    assert {one.target for one in broker.compute.explain("jobs/x", image="mine").options} == {
        "outscale/compute@eu-west-2",
        "ovhcloud/compute@gra",
    }


def test_dated_lists_tell_what_providers_do_not(broker):
    """Scaleway and Outscale tell what their sizes cost. The others do not, and their lists do."""
    plan = broker.compute.explain("web/x", image="mine", memory="2GB")
    found = {one.target.partition("/")[0]: one.size for one in plan.options}
    assert [one.target.partition("/")[0] for one in plan.options] == ["scaleway", "ovhcloud", "aws", "outscale"], str(
        plan
    )
    ovh, aws = shipped_prices("ovhcloud"), shipped_prices("aws")
    assert (found["ovhcloud"].price, found["ovhcloud"].priced) == (ovh.regions["gra"]["d2-2"], ovh.as_of)
    assert (str(found["outscale"].price), found["outscale"].priced) == ("0.050000", None)
    assert (str(found["scaleway"].price), found["scaleway"].priced) == ("0.0088", None)
    # Of all sizes that are enough, the cheapest by the list: here it is in dollars.
    enough = [one for one in broker.compute.sizes("aws/eu-west-3") if not Needs(memory=2 * 10**9).unmet(one)]
    listed = {one.id: aws.regions["eu-west-3"][one.id] for one in enough if one.id in aws.regions["eu-west-3"]}
    assert len(listed) > 50
    assert found["aws"].id == min(listed, key=listed.get)
    assert found["aws"].price < listed[found["aws"].id]
    assert f"{found['aws'].id}, {found['aws'].price} EUR/h (list of 2025-03-02)" in str(plan)
    assert "d2-2, 0.0104 EUR/h (list of 2026-08-14)" in str(plan)


def test_prices_of_ones_own_go_before_the_shipped_ones(broker, tmp_path):
    own = """{schema: sovbroker.prices/1, provider: aws, currency: EUR, as_of: 2026-11-01, source: our contract,
      regions: {eu-west-3: {m5.large: 0.001}}}"""
    (tmp_path / "own.yaml").write_text(own)
    file = tmp_path / "sovbroker.yaml"
    file.write_text(file.read_text().replace("{at: aws/eu-west-3, ", "{at: aws/eu-west-3, prices: own.yaml, "))
    with sovbroker.open(file) as again:
        first = again.compute.explain("web/x", image="mine").options[0]
    assert (first.target, first.size.id) == ("aws/compute@eu-west-3", "m5.large")
    assert (str(first.size.price), first.size.priced) == ("0.001", date(2026, 11, 1))


@pytest.mark.parametrize(
    "target", ["aws/compute@eu-west-3", "outscale/compute@eu-west-2", "ovhcloud/compute@gra", "scaleway/compute@fr-par"]
)
def test_a_life_at_each(broker, target):
    compute = broker.compute
    node = compute.launch("web/x", image="mine", at=[target], user_data="#!/bin/sh\ntrue\n", owner="ops")
    assert compute.launch("web/x", image="mine", at=[target], user_data="#!/bin/sh\ntrue\n", owner="ops").id == node.id
    assert [(one.name, one.target) for one in compute.list()] == [("web/x", target)]
    assert compute.stop("web/x").state in {"stopping", "stopped"}
    compute.start("web/x")
    audit = compute.audit()
    assert [(one.name, one.standing, one.ours) for one in audit.machines] == [("web/x", Standing.FINE, True)]
    assert audit.clean, audit.blind
    compute.destroy("web/x")
    assert compute.list() == []
    assert compute.audit().machines == ()


def test_what_may_not_be_there_any_more_is_found_at_each(broker, tmp_path):
    for number, target in enumerate(broker.compute.places):
        broker.compute.launch(f"web/{number}", image="mine", at=[target])
    assert broker.compute.audit().clean
    (tmp_path / "policy.yaml").write_text(
        POLICY.replace('path: "web/**", label: public', 'path: "web/**", label: internal')
    )
    with sovbroker.open(tmp_path / "sovbroker.yaml") as again:
        found = again.compute.audit()
    # Who controls Scaleway is from memory in the catalogue, and unknown is no.
    assert [one.target for one in found.violations] == ["aws/compute@eu-west-3", "scaleway/compute@fr-par"]


@pytest.mark.parametrize(
    "target", ["aws/compute@eu-west-3", "outscale/compute@eu-west-2", "ovhcloud/compute@gra", "scaleway/compute@fr-par"]
)
def test_an_answer_that_was_lost_is_found_again(broker, target, monkeypatch):
    provider = broker.compute._around.providers.provider(target)
    real = provider.launch

    def lost(launch):
        real(launch)
        raise Unavailable("the answer was lost", target=target)

    monkeypatch.setattr(provider, "launch", lost, raising=True)
    with pytest.raises(Unavailable):
        broker.compute.launch("web/x", image="mine", at=[target])
    monkeypatch.undo()
    assert len(provider.machines()) == 1
    node = broker.compute.launch("web/x", image="mine", at=[target])
    assert [one.id for one in provider.machines()] == [node.id]


@pytest.mark.parametrize("lost", ["POST {servers}", "PATCH {disks}", "PATCH {servers}", "POST {servers}/"])
def test_a_launch_that_was_cut_short_between_its_steps_goes_on(broker, services, lost):
    service, target = services["scaleway/fr-par"], "scaleway/compute@fr-par"
    servers, disks = "/instance/v1/zones/fr-par-1/servers", "/block/v1/zones/fr-par-1/volumes"
    service.lose.append(lost.format(servers=servers, disks=disks))
    asked = {"image": "mine", "at": [target], "user_data": "#!/bin/sh\ntrue\n"}
    with pytest.raises(Unavailable):
        broker.compute.launch("web/x", **asked)
    node = broker.compute.launch("web/x", **asked)
    broker.compute.start("web/x")
    assert [(one["id"], one["state"]) for one in service.servers.values()] == [(node.id.partition("/")[2], "running")]
    assert service.asked[f"POST {servers}"] == 1
    assert list(service.ran.values()) == [b"#!/bin/sh\ntrue\n"]
    broker.compute.destroy("web/x")
    assert (service.servers, service.disks, service.ips) == ({}, {}, {})


def test_who_runs_them_is_not_told_what_it_need_not_know(broker):
    """Keys and secrets of the broker stay here; a name is told only where the policy hides none."""
    broker.compute.launch("web/x", image="mine", at=["outscale/compute@eu-west-2"])
    (machine,) = broker.compute._around.providers.provider("outscale/compute@eu-west-2").machines()
    assert re.fullmatch("[0-9a-f]{24}", machine.tags["sovbroker-launch"])
    assert machine.tags["sovbroker-name"] == "web/x"


def fill(services, target, words):
    """Let the service of a place refuse the next launch in its own words."""
    match target.partition("/")[0]:
        case "aws":
            services["aws/eu-west-3"].refuse = (500, "InsufficientInstanceCapacity", words)
        case "outscale":
            refusal = RefusalError("TooManyResources (QuotaExceded)", "10029", words)
            services["outscale/eu-west-2"].refuse["CreateVms"] = refusal
        case "ovhcloud":
            services["ovhcloud/gra"].machines.quota = 0


def test_whoever_has_no_room_is_passed_over_at_every_provider(broker, services):
    compute = broker.compute
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test"
    # Scaleway takes no keys, and so it is none of those that come into question.
    takers = [one.target for one in compute.explain("web/x", image="mine").options]
    order = [target for target in takers if not target.startswith("scaleway/")]
    assert len(order) == len(services) - 1
    for full in ((), order[:1], order[1:], order[:2], order):
        for target in full:
            fill(services, target, "no room")
        has_room = [target for target in order if target not in full]
        if has_room:
            node = compute.launch("web/x", image="mine", ssh_key=key)
            passed = order[: order.index(has_room[0])]
            assert (node.target, list(node.passed)) == (has_room[0], passed)
            assert [(one.name, one.target) for one in compute.audit().machines] == [("web/x", node.target)]
            compute.destroy("web/x")
        else:
            with pytest.raises(NoCapacity, match="nothing was launched") as caught:
                compute.launch("web/x", image="mine", ssh_key=key)
            assert all(target in str(caught.value) for target in order)
        assert compute.list() == []
        assert compute.audit().machines == ()
        for place in order:
            assert broker.compute._around.providers.provider(place).public_keys() == []
        services["aws/eu-west-3"].refuse = None
        services["outscale/eu-west-2"].refuse.clear()
        services["ovhcloud/gra"].machines.quota = 20
