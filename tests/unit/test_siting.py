"""Where a provider's machines may be asked for: the endpoint's host, and those that the catalogue names."""

from sovbroker.catalogue import load
from sovbroker.computesection import ComputeConfig
from sovbroker.siting import site_of


def test_an_openstack_has_the_hosts_of_its_services():
    place = site_of(ComputeConfig("otc/eu-nl"), load())
    assert place.adapter == "openstack"
    assert place.binding.endpoint == "https://iam.eu-nl.otc.t-systems.com/v3"
    names = ("iam", "ecs", "evs", "ims")
    assert place.binding.hosts == {f"{name}.eu-nl.otc.t-systems.com" for name in names}


def test_an_emulator_has_its_own_host_alone():
    place = site_of(ComputeConfig("otc/eu-de", endpoint="http://127.0.0.1:5000/v3", emulated=True), load())
    assert place.binding.hosts == {"127.0.0.1:5000"}


def test_a_provider_without_services_has_its_endpoint_alone():
    place = site_of(ComputeConfig("ovhcloud/gra"), load())
    assert place.binding.hosts == {"eu.api.ovh.com"}
