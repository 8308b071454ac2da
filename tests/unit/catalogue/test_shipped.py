"""The shipped facts: what must hold of all of them, and what must hold of a few."""

import re
from datetime import date
from pathlib import Path

import pytest

from sovbroker.catalogue import lint, load
from sovbroker.catalogue.facts import Basis, Confidence, Status
from sovbroker.catalogue.loader import shipped
from sovbroker.ports import Binding, Credentials
from sovbroker_adapters.s3.settings import Settings

CHECKED = date(2026, 11, 28)
KNOWN = load()


def qualified(reference: str, scheme: str = "secnumcloud", *, day: date = CHECKED) -> bool:
    found = (q for q in KNOWN.target(reference).facts.qualified if q.scheme == scheme)
    return any(q.status is Status.QUALIFIED and q.evidence.supports(day) for q in found)


def test_the_shipped_files_have_no_finding():
    assert lint(today=CHECKED) == ()


def test_every_provider_is_there():
    assert len(KNOWN.providers) == 24
    named = {"aws", "azure", "gcp", "ovhcloud", "outscale", "clever-cloud", "jamespot", "oodrive", "worldline"}
    assert named | {"cloud-temple", "bleu", "s3ns", "scaleway", "numspot", "aws-eusc"} <= set(KNOWN.providers)
    assert sum(len(list(KNOWN.provider(name).statements())) for name in KNOWN.providers) >= 274


def test_every_target_can_be_told_and_bound():
    targets = KNOWN.targets()
    assert len({target.id for target in targets}) == len(targets) > 70
    for target in targets:
        assert KNOWN.target(target.id) == target
        connection = KNOWN.connection(target.id)
        filled = dict.fromkeys(connection.parameters, "x1")
        assert (connection.adapter is None or connection.template is None) == bool(connection.supply)
        if connection.template is not None:
            url = connection.endpoint(filled)
            assert re.fullmatch(r"https://[a-z0-9.-]+(/[a-z0-9/-]*)?", url)
            assert all(re.fullmatch(r"[a-z0-9.-]+", host) for host in connection.hosts(filled, bucket="b"))


def test_the_s3_adapter_understands_every_preset():
    for target in KNOWN.targets():
        connection = KNOWN.connection(target.id)
        if connection.adapter == "s3":
            credentials = Credentials({"access_key": "a", "secret_key": "s"})
            binding = Binding(
                target.id, "b", connection.template, connection.region, frozenset(), credentials, connection.settings
            )
            settings = Settings.of(binding)
            newer = "when-supported" if target.provider.startswith("aws") else "when-required"
            assert settings.checksums == newer


@pytest.mark.parametrize("reference", ["outscale/cloudgouv-eu-west-1", "cloud-temple/fr1", "s3ns/u-france-east1"])
def test_what_is_qualified_counts(reference: str):
    assert qualified(reference)
    assert not qualified(reference, day=date(2030, 1, 1))
    (found,) = [q for q in KNOWN.target(reference).facts.qualified if q.scheme == "secnumcloud"]
    assert found.version == (3, 2)


@pytest.mark.parametrize(
    "reference",
    ["outscale/eu-west-2", "ovhcloud/gra", "ovhcloud/vmware@gra", "ovhcloud/bare-metal@rbx", "bleu/bleufrancecentral",
     "scaleway/fr-par", "numspot/cloudgouv-eu-west-1", "worldline/fr", "oodrive/fr", "oodrive/saas-collaboration@fr",
     "aws/eu-west-3", "azure/francecentral", "clever-cloud/par", "orange-cloud-avenue/region01"],
)  # fmt: skip
def test_what_is_not_surely_qualified_does_not_count(reference: str):
    assert not qualified(reference)


def test_the_ends_of_qualifications():
    ends = {
        name: [q.evidence.expires for q in KNOWN.target(name).facts.qualified if q.scheme == "secnumcloud"]
        for name in ("outscale/cloudgouv-eu-west-1", "s3ns/u-france-east1", "cloud-temple/fr1")
    }
    assert list(ends.values()) == [[date(2026, 12, 31)], [date(2028, 12, 17)], [date(2027, 8, 20)]]


def test_every_qualification_that_counts_has_an_end():
    for name in KNOWN.providers:
        for grant in KNOWN.provider(name).grants:
            counts = grant.qualification.status is Status.QUALIFIED
            assert not counts or grant.qualification.evidence.expires is not None


def test_the_hosts_of_health_data_are_those_that_are_named():
    assert qualified("clever-cloud/parhds", "hds")
    assert qualified("clever-cloud/paas@grahds", "hds")
    for reference in ("clever-cloud/par", "ovhcloud/rbx", "scaleway/fr-par", "cloud-temple/fr1", "aws/eu-west-3"):
        assert not qualified(reference, "hds")


@pytest.mark.parametrize("provider", ["outscale", "cloud-temple", "ovhcloud", "clever-cloud", "s3ns", "bleu"])
def test_who_is_controlled_from_france_alone(provider: str):
    controlled = KNOWN.provider(provider).controlled
    assert (controlled.value, controlled.supports(CHECKED)) == ({"FR"}, True)


def test_a_group_s_foreign_regions_are_not_passed_off_as_french():
    assert KNOWN.target("ovhcloud/us-east-va").facts.controlled.value == {"FR", "US"}
    assert KNOWN.target("outscale/us-east-2").facts.controlled.value is None
    assert KNOWN.target("clever-cloud/paas@mtl").facts.controlled.value is None


def test_technology_is_told_apart_from_control():
    for reference in ("s3ns/u-france-east1", "bleu/bleufrancecentral", "delos/delos-de"):
        facts = KNOWN.target(reference).facts
        assert facts.technology.value == {"US"}
        assert not facts.controlled.value & {"US"}
    assert KNOWN.target("ovhcloud/gra").facts.technology.value is None


def test_what_is_from_memory_supports_nothing():
    assert not KNOWN.target("azure/francecentral").facts.located.supports(CHECKED)
    assert not KNOWN.target("bleu/bleufrancecentral").facts.located.supports(CHECKED)
    for name in KNOWN.providers:
        for statement in KNOWN.provider(name).statements():
            evidence = statement.evidence
            checked = evidence.basis in {Basis.VERIFIED, Basis.MEASURED}
            assert checked == (evidence.confidence is not Confidence.LOW and bool(evidence.sources))


def test_contested_exposure_is_told():
    told = [s.value for s in KNOWN.provider("ovhcloud").statements() if s.about == "exposure"]
    assert any(str(value).startswith("Canada Criminal Code") and "contested" in str(value) for value in told)


@pytest.mark.parametrize(
    ("one", "other"),
    [("numspot/eu-west-2", "outscale/eu-west-2"), ("clever-cloud/rbxhds", "ovhcloud/rbx"),
     ("clever-cloud/paas@scw", "scaleway/fr-par"), ("clever-cloud/paas@grahds", "ovhcloud/gra")],
)  # fmt: skip
def test_the_same_building_is_one_site(one: str, other: str):
    assert KNOWN.target(one).site == KNOWN.target(other).site
    assert KNOWN.target(one).site != KNOWN.target("clever-cloud/par").site


@pytest.mark.parametrize(
    ("reference", "parameters", "endpoint", "region"),
    [
        ("aws/eu-west-3", {}, "https://s3.eu-west-3.amazonaws.com", "eu-west-3"),
        ("ovhcloud/gra", {}, "https://s3.gra.io.cloud.ovh.net", "gra"),
        ("ovhcloud/us-east-va", {}, "https://s3.us-east-va.io.cloud.ovh.us", "us-east-va"),
        ("outscale/cloudgouv-eu-west-1", {}, "https://oos.cloudgouv-eu-west-1.outscale.com", "cloudgouv-eu-west-1"),
        ("clever-cloud/par", {}, "https://cellar-c2.services.clever-cloud.com", "default"),
        ("cloud-temple/fr1", {"namespace": "n"}, "https://n.s3.fr1.cloud-temple.com", "fr1"),
        ("infomaniak/dc4-a", {}, "https://s3.pub2.infomaniak.cloud", "us-east-1"),
        ("infomaniak/dc3-a", {}, "https://s3.pub1.infomaniak.cloud", "dc3-a"),
        ("bleu/bleufrancecentral", {"account": "a"}, "https://a.blob.core.sovcloud-api.fr", "bleufrancecentral"),
    ],
)
def test_endpoints(reference: str, parameters: dict[str, str], endpoint: str, region: str):
    connection = KNOWN.connection(reference)
    assert (connection.endpoint(parameters), connection.region) == (endpoint, region)


def test_presets():
    assert KNOWN.connection("cloud-temple/fr1").settings["signature"] == "s3"
    assert KNOWN.connection("scaleway/fr-par").settings["parts_max"] == 1000
    assert KNOWN.connection("aws/eu-west-3").settings["checksums"] == "when-supported"
    assert KNOWN.connection("bleu/bleufrancecentral").settings == {
        "authority": "login.sovcloud-identity.fr",
        "suffix": "core.sovcloud-api.fr",
    }


@pytest.mark.parametrize("provider", ["oodrive", "jamespot", "worldline"])
def test_who_has_no_interface_says_what_to_bring(provider: str):
    connection = KNOWN.connection(f"{provider}/fr")
    assert connection.adapter is None
    assert connection.supply


def test_files_are_named_and_spelled_alike():
    for item in shipped().iterdir():
        text = Path(str(item)).read_text("utf-8")
        assert text.startswith("schema: sovbroker.catalogue/1\nname: ")
        assert text == text.rstrip() + "\n"
        assert "\t" not in text
