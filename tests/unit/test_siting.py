"""Where configured places for machines lead, by the facts of the catalogue that ships."""

import pytest

from sovbroker.catalogue import load
from sovbroker.computesection import ComputeConfig
from sovbroker.siting import site_of


@pytest.mark.parametrize(
    ("at", "adapter", "endpoint", "hosts"),
    [
        ("gcp/europe-west9", "gce", "https://compute.googleapis.com/compute/v1", {"compute.googleapis.com"}),
        ("s3ns/u-france-east1", "gce", "https://compute.s3nsapis.fr/compute/v1", {"compute.s3nsapis.fr"}),
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
    place = site_of(ComputeConfig(at=at, project="p"), load())
    assert (place.adapter, place.binding.endpoint) == (adapter, endpoint)
    assert place.binding.hosts == hosts


def test_an_authority_of_the_operators_replaces_the_one_of_the_facts():
    config = ComputeConfig(at="azure/francecentral", project="p", settings={"authority": "https://login.example:8443"})
    binding = site_of(config, load()).binding
    assert binding.settings["authority"] == "https://login.example:8443"
    assert binding.hosts == {"management.azure.com", "login.example:8443"}
