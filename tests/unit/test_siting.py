"""Places for machines in a configuration: what goes together, and where an adapter is sent."""

from decimal import Decimal
from pathlib import Path

import pytest

from sovbroker import catalogue
from sovbroker.computesection import ComputeConfig
from sovbroker.config import parse_config
from sovbroker.errors import ConfigError
from sovbroker.machines import ImageSource
from sovbroker.siting import site_of, sites_of

KNOWN = catalogue.load()


def sites(section, *, folder=Path("/nowhere")):
    text = f"sovbroker: 1\ntargets: [{{at: memory}}]\ncompute:\n  - {section}\n"
    return sites_of(parse_config(text, file=folder / "sovbroker.yaml").compute, KNOWN)


def test_endpoints_and_facts_come_from_the_catalogue():
    (place,) = sites("{at: outscale/eu-west-2, credentials: {access_key: {env: A}, secret_key: {env: B}}}").values()
    assert (place.target.id, place.target.offer, place.adapter) == ("outscale/compute@eu-west-2", "compute", "outscale")
    assert place.binding.endpoint == "https://api.eu-west-2.outscale.com/api/v1"
    assert place.binding.hosts == {"api.eu-west-2.outscale.com"}
    assert place.binding.region == "eu-west-2"
    assert place.target.site == "outscale/eu-west-2"
    assert place.target.facts.located.value == {"FR"}
    (place,) = sites("{at: aws/eu-west-3}").values()
    assert (place.adapter, place.binding.endpoint) == ("ec2", "https://ec2.eu-west-3.amazonaws.com")


def test_machines_of_this_machine():
    section = """{at: local, path: machines, located: FR, controlled: [FR, DE], settings: {network: host},
      images: {mine: {owner: me, pattern: "mine-*"}}}"""
    (place,) = sites(section).values()
    assert (place.target.id, place.adapter, place.binding.container) == ("local/compute", "local", "/nowhere/machines")
    assert place.target.facts.controlled.value == {"FR", "DE"}
    assert place.images == {"mine": ImageSource("me", "mine-*")}
    assert place.binding.settings == {"create": True, "network": "host"}


def test_an_emulator_is_on_this_machine():
    (place,) = sites('{at: aws/eu-west-3, endpoint: "http://127.0.0.1:5000", emulated: true}').values()
    assert place.binding.hosts == {"127.0.0.1:5000"}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{at: local}", "need the key `path`"),
        ("{at: local, path: x, project: y}", "no project, endpoint, credentials or prices"),
        ("{at: local, path: x, prices: y}", "no project, endpoint, credentials or prices"),
        ("{at: aws/eu-west-3, prices: none.yaml}", "cannot read the price list `/nowhere/none.yaml`"),
        ("{at: aws/eu-west-3, path: x}", "comes from the catalogue"),
        ("{at: aws/eu-west-3, located: FR}", "comes from the catalogue"),
        ('{at: aws/eu-west-3, endpoint: "https://evil.example"}', "comes from the catalogue"),
        ("{at: aws/eu-west-3, emulated: true}", "comes from the catalogue"),
        ("{at: aws/nowhere-1}", "no region"),
        ("{at: jamespot/fr}", "jamespot"),
        ("{at: aws/eu-west-3, colour: red}", "colour"),
        ("{at: aws/eu-west-3, credentials: {access_key: AKIA}}", "does not stand in the file"),
        ("{at: local, path: a}\n  - {at: local, path: b}", "here twice"),
    ],
)
def test_what_does_not_go_together(section, said):
    with pytest.raises(ConfigError) as caught:
        sites(section)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("at", "adapter", "endpoint", "hosts"),
    [
        ("gcp/europe-west9", "gce", "https://compute.googleapis.com/compute/v1", {"compute.googleapis.com"}),
        ("s3ns/u-france-east1", "gce", "https://compute.s3nsapis.fr/compute/v1", {"compute.s3nsapis.fr"}),
        ("scaleway/nl-ams", "scaleway", "https://api.scaleway.com", {"api.scaleway.com"}),
        (
            "azure/francecentral",
            "azure-arm",
            "https://management.azure.com/",
            {"management.azure.com", "login.microsoftonline.com"},
        ),
        (
            "bleu/bleufrancecentral",
            "azure-arm",
            "https://management.core.sovcloud-api.fr/",
            {"management.core.sovcloud-api.fr", "login.sovcloud-identity.fr"},
        ),
    ],
)
def test_the_hosts_are_the_endpoint_and_who_gives_tokens(at, adapter, endpoint, hosts):
    place = site_of(ComputeConfig(at=at, project="p"), KNOWN)
    assert (place.adapter, place.binding.endpoint) == (adapter, endpoint)
    assert place.binding.hosts == hosts


@pytest.mark.parametrize("authority", ["https://login.example:8443", "http://127.0.0.1:5000", "login.example"])
def test_nobody_else_is_told_the_credentials(authority):
    with pytest.raises(ConfigError, match="comes from the catalogue"):
        site_of(ComputeConfig(at="azure/francecentral", project="p", settings={"authority": authority}), KNOWN)


def test_who_gives_tokens_to_an_emulator_is_on_this_machine():
    here, there = "http://127.0.0.1:5000", "http://127.0.0.1:5001"
    own = ComputeConfig("azure/francecentral", "p", endpoint=here, emulated=True, settings={"authority": there})
    assert site_of(own, KNOWN).binding.hosts == {"127.0.0.1:5000", "127.0.0.1:5001"}
    # The provider's own is not asked for a token with what an emulator takes.
    bare = site_of(ComputeConfig("azure/francecentral", "p", endpoint=here, emulated=True), KNOWN).binding
    assert (bare.hosts, "authority" in bare.settings) == ({"127.0.0.1:5000"}, False)
    away = ComputeConfig(
        "azure/francecentral", "p", endpoint=here, emulated=True, settings={"authority": "https://login.example"}
    )
    with pytest.raises(ConfigError, match="comes from the catalogue"):
        site_of(away, KNOWN)


def test_an_openstack_has_the_hosts_of_its_services():
    place = site_of(ComputeConfig("otc/eu-nl"), KNOWN)
    assert place.adapter == "openstack"
    assert place.binding.endpoint == "https://iam.eu-nl.otc.t-systems.com/v3"
    names = ("iam", "ecs", "evs", "ims")
    assert place.binding.hosts == {f"{name}.eu-nl.otc.t-systems.com" for name in names}


def test_an_emulator_has_its_own_host_alone():
    place = site_of(ComputeConfig("otc/eu-de", endpoint="http://127.0.0.1:5000/v3", emulated=True), KNOWN)
    assert place.binding.hosts == {"127.0.0.1:5000"}


def test_a_provider_without_services_has_its_endpoint_alone():
    place = site_of(ComputeConfig("ovhcloud/gra"), KNOWN)
    assert place.binding.hosts == {"eu.api.ovh.com"}


PRICES = """schema: sovbroker.prices/1
provider: PROVIDER
currency: EUR
as_of: 2026-08-01
source: our contract
regions: {REGION: {t3.micro: 0.009}}
"""


def test_prices_of_ones_own_lie_beside_the_configuration(tmp_path):
    def write(provider, region):
        (tmp_path / "prices.yaml").write_text(PRICES.replace("PROVIDER", provider).replace("REGION", region))

    def place():
        (found,) = sites("{at: aws/eu-west-3, prices: prices.yaml}", folder=tmp_path).values()
        return found

    write("aws", "eu-west-3")
    assert place().prices.regions == {"eu-west-3": {"t3.micro": Decimal("0.009")}}
    # What would never count is a mistake.
    write("ovhcloud", "gra")
    with pytest.raises(ConfigError, match=r"is of `ovhcloud`, and the place is at `aws`"):
        place()
    write("aws", "eu-wset-3")
    with pytest.raises(ConfigError, match=r"no region of `aws`; did you mean `eu-west-3`"):
        place()
    write("aws", "eu-west-3\ncolour")
    with pytest.raises(ConfigError, match="SC001"):
        place()
