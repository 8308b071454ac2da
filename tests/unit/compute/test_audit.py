"""Every machine compared with the policy: what is wrong is found, and what is not seen is not called clean."""

import dataclasses

from sovbroker.compute import Standing
from sovbroker.errors import Unavailable
from sovbroker.machines import Machine, MachineState


def standings(audit):
    return {(one.target, one.name): one.standing for one in audit.machines}


def test_what_is_where_it_may_be_is_fine(house):
    house.compute.launch("job", label="restricted")
    house.compute.launch("web/x")
    audit = house.compute.audit()
    assert audit.clean
    assert set(standings(audit).values()) == {Standing.FINE}
    assert {place.target: place.machines for place in audit.places} == {
        "fr/compute@paris": 1 + (house.compute.get("web/x").target == "fr/compute@paris"),
        "de/compute@berlin": int(house.compute.get("web/x").target == "de/compute@berlin"),
        "us/compute@ohio": int(house.compute.get("web/x").target == "us/compute@ohio"),
    }


def test_data_whose_label_was_raised_makes_a_violation(house):
    house.put("press/a", "public", "us/ohio")
    house.compute.launch("job", near="press/a")
    assert house.compute.audit().clean
    house.put("press/a", "restricted", "us/ohio")
    audit = house.compute.audit()
    (wrong,) = audit.violations
    assert (wrong.name, wrong.target, wrong.label, wrong.standing) == (
        "job",
        "us/compute@ohio",
        "restricted",
        Standing.VIOLATION,
    )
    assert "not in european" in wrong.why
    assert not audit.clean


def test_machines_that_nobody_labelled_are_as_restricted_as_the_default(house):
    house.fakes["us/compute@ohio"].fleet["i-1"] = Machine("i-1", "theirs", MachineState.RUNNING)
    house.fakes["fr/compute@paris"].fleet["i-2"] = Machine("i-2", "theirs", MachineState.RUNNING)
    house.fakes["us/compute@ohio"].fleet["i-3"] = Machine(
        "i-3", "claimed", MachineState.RUNNING, tags={"sovbroker-label": "nonsense"}
    )
    audit = house.compute.audit()
    assert standings(audit) == {
        ("us/compute@ohio", "theirs"): Standing.UNLABELLED,
        ("fr/compute@paris", "theirs"): Standing.FINE,
        ("us/compute@ohio", "claimed"): Standing.VIOLATION,
    }
    assert len(audit.violations) == 2


def test_a_list_of_nothing_is_clean_only_where_it_would_list_something(house):
    fake = house.fakes["us/compute@ohio"]
    assert house.compute.audit().clean
    fake.canary = ""
    audit = house.compute.audit()
    assert not audit.clean
    (blind,) = audit.blind
    assert (blind.target, audit.violations) == ("us/compute@ohio", ())
    # One that lists nothing though it has machines is found by its count, or by what we know of it.
    fake.canary = "its default group"
    fake.fleet["i-1"] = Machine("i-1", "theirs", MachineState.RUNNING)
    assert [place.target for place in house.compute.audit().places if place.machines] == ["us/compute@ohio"]


def test_a_provider_that_lists_fewer_than_it_counts_is_blind(house):
    fake = house.fakes["us/compute@ohio"]
    fake.fleet["i-1"] = Machine("i-1", "web/x", MachineState.RUNNING, tags={"sovbroker-label": "public"})

    class Shortened:
        def __getattr__(self, name):
            return getattr(fake, name)

        def machines(self):
            return []

    object.__setattr__(house.around.providers.places["us/compute@ohio"], "_held", Shortened())
    audit = house.compute.audit()
    assert "counts 1 in another way" in audit.blind[0].blind


def test_a_machine_of_ours_that_is_not_listed_is_missing(house):
    house.compute.launch("job", label="restricted")
    house.fakes["fr/compute@paris"].fleet.clear()
    audit = house.compute.audit()
    assert standings(audit) == {("fr/compute@paris", "job"): Standing.MISSING}
    assert audit.clean


def test_a_place_that_cannot_be_asked_is_blind(house):
    def out(name):
        raise Unavailable("no answer", target="fr/compute@paris")

    house.fakes["fr/compute@paris"].before = out
    audit = house.compute.audit()
    assert [(place.target, place.blind) for place in audit.blind] == [
        ("fr/compute@paris", "fr/compute@paris: no answer")
    ]


def test_what_is_overdue_is_told_and_is_no_violation(house):
    house.compute.launch("job", label="restricted", ttl="1h")
    house.later(hours=2)
    audit = house.compute.audit()
    assert standings(audit) == {("fr/compute@paris", "job"): Standing.OVERDUE}
    assert audit.clean


def test_ten_thousand_machines_are_all_looked_at(house):
    """Every one that is wrong is found among them."""
    fake = house.fakes["us/compute@ohio"]
    for number in range(10_000):
        label = "restricted" if number % 1000 == 7 else "public"
        fake.fleet[f"i-{number}"] = Machine(
            f"i-{number}", f"web/{number}", MachineState.RUNNING, tags={"sovbroker-label": label}
        )
    audit = house.compute.audit()
    assert len(audit.machines) == 10_000
    assert {one.id for one in audit.violations} == {f"i-{number}" for number in range(7, 10_000, 1000)}


def test_a_place_that_is_not_configured_any_more_is_not_forgotten(house):
    house.compute.launch("job", label="restricted")
    house.around.providers.places.pop("fr/compute@paris")
    audit = house.compute.audit()
    assert not audit.clean
    assert audit.blind[0].target == "fr/compute@paris"
    assert [node.state for node in house.compute.list()] == [MachineState.UNKNOWN]


def test_to_dict_says_all_of_it(house):
    house.compute.launch("job", label="restricted")
    told = house.compute.audit().to_dict()
    assert told["clean"] is True
    assert told["machines"][0] == {
        "target": "fr/compute@paris",
        "id": "i-000001",
        "name": "job",
        "state": "running",
        "standing": "fine",
        "label": "restricted",
        "ours": True,
        "why": "",
    }
    assert {field.name for field in dataclasses.fields(house.compute.audit().machines[0])} == set(told["machines"][0])
