"""What machines are measured by, what they are called, what is kept of them, and the page of an audit."""

import re
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovbroker.compute.audit import Audit, AuditedMachine, AuditedPlace, Standing
from sovbroker.compute.boot import with_ticket
from sovbroker.compute.checks import check_user_data
from sovbroker.compute.images import SOURCES, resolve_image
from sovbroker.compute.journal import Entry, Journal, Step
from sovbroker.compute.launching import launch_of, tags_of
from sovbroker.compute.needs import Needs, memory_of, ttl_of
from sovbroker.compute.page import audit_page
from sovbroker.compute.places import find_compute
from sovbroker.errors import ConfigError, InvalidArgument, NotFound, StateError, Unavailable
from sovbroker.machines import Image, ImageSource, Machine, MachineState, SecretTicket, Size
from sovbroker.testing.machines import FakeCompute

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1B", 1), ("4GiB", 4 * GIB), ("512 MB", 512_000_000), ("2TiB", 2 << 40), (" 1KiB ", 1024), ("1KB", 1000)],
)
def test_amounts_of_memory(text, amount):
    assert memory_of(text) == amount


@pytest.mark.parametrize(
    ("text", "time"), [("8h", timedelta(hours=8)), ("30m", timedelta(minutes=30)), ("7 d", timedelta(days=7))]
)
def test_times_to_live(text, time):
    assert ttl_of(text) == time


@pytest.mark.parametrize("text", ["", "4", "GiB", "-1GiB", "4 gib", "1e3MB", "٣GiB", "0MiB", "9999999999GiB"])
def test_what_is_no_amount(text):
    with pytest.raises(InvalidArgument, match="no amount of memory"):
        memory_of(text)


sizes = st.builds(
    Size,
    id=st.text("abc", min_size=1, max_size=3),
    cpus=st.integers(1, 4),
    memory=st.integers(1, 4),
    gpus=st.integers(0, 1),
    arch=st.sampled_from(["x86_64", "arm64"]),
    price=st.none() | st.decimals(0, 3, places=1),
    attested=st.sampled_from([(), ("tdx",), ("sev-snp", "tdx")]),
)
needs = st.builds(
    Needs,
    cpus=st.integers(1, 4),
    memory=st.integers(1, 4),
    gpus=st.integers(0, 1),
    attested=st.sampled_from([(), ("tdx",), ("sev-snp",)]),
)


@given(needs, st.lists(sizes, max_size=6))
def test_the_cheapest_size_that_is_enough(wanted, offered):
    enough = [
        one
        for one in offered
        if one.arch == "x86_64"
        and one.cpus >= wanted.cpus
        and one.memory >= wanted.memory
        and one.gpus >= wanted.gpus
        and (not wanted.attested or set(wanted.attested) & set(one.attested))
    ]
    found = wanted.cheapest(offered)
    assert (found is None) == (not enough)
    if found is None:
        assert wanted.nearest(offered)
        return
    assert found in enough
    known = [one.price for one in enough if one.price is not None]
    assert found.price == (min(known) if known else None)


def test_an_image_is_the_newest_of_its_owner():
    day = datetime(2026, 1, 1, tzinfo=UTC)
    provider = FakeCompute(
        known=[
            Image("old", "debian-12-a", owner="debian", created=day),
            Image("new", "debian-12-b", owner="debian", created=day + timedelta(days=1)),
            Image("arm", "debian-12-c", owner="debian", arch="arm64", created=day + timedelta(days=2)),
            Image("fake", "debian-12-z", owner="mallory", created=day + timedelta(days=9)),
        ]
    )
    own = {"debian-12": ImageSource("debian", "debian-12-*")}

    def resolved(name, arch="x86_64"):
        return resolve_image(name, arch=arch, provider=provider, adapter="ec2", own=own).id

    assert resolved("debian-12") == "new"
    assert resolved("debian-12", "arm64") == "arm"
    assert resolved("id:ami-1") == "ami-1"
    with pytest.raises(InvalidArgument, match="did you mean `debian-12`"):
        resolved("debian-12x")
    with pytest.raises(InvalidArgument, match="write `id:ID`"):
        resolved("zzz")
    with pytest.raises(NotFound, match="of `099720109477`"):
        resolved("ubuntu-24.04")


def test_no_name_of_an_image_is_anybodys():
    """But where a provider lists its own alone."""
    open_to_all = {adapter for adapter, names in SOURCES.items() for source in names.values() if not source.owner}
    assert open_to_all <= {"ovhcloud"}


def entry(**fields):
    base = {
        "name": "job",
        "launch": "0" * 24,
        "target": "t",
        "key": "job",
        "label": "secret",
        "near": "",
        "request": "r",
        "size": "s",
        "image": "i",
        "step": Step.LAUNCHING,
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Entry(**(base | fields))


def test_entries_are_kept_and_private(tmp_path):
    journal = Journal(tmp_path / "state.db")
    assert journal.get("job") is None
    journal.put(entry())
    journal.put(entry(step=Step.LAUNCHED, machine="m", tags={"a": "b"}))
    assert journal.get("job") == entry(step=Step.LAUNCHED, machine="m", tags={"a": "b"})
    assert [one.name for one in journal.entries()] == ["job"]
    assert journal.path.stat().st_mode & 0o77 == 0
    assert all(file.stat().st_mode & 0o77 == 0 for file in journal.path.glob("*.json"))
    journal.remove("job")
    journal.remove("job")
    assert journal.entries() == ()


def test_an_installation_is_the_same_for_whoever_comes_first(tmp_path):
    journals = [Journal(tmp_path / "state.db") for _ in range(8)]
    found = []
    threads = [threading.Thread(target=lambda one=one: found.append(one.installation())) for one in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert not [file.name for file in journals[0].path.iterdir() if file.name.startswith(".")]
    (journals[0].path / "installation").write_text("x")
    with pytest.raises(StateError, match="damaged"):
        journals[0].installation()


def test_one_at_a_time(tmp_path):
    journal = Journal(tmp_path / "state.db")
    with journal.locked("job"):
        with pytest.raises(Unavailable, match="at work"), Journal(tmp_path / "state.db").locked("job", wait=False):
            raise AssertionError
        with journal.locked("other", wait=False):
            pass
    with journal.locked("job", wait=False):
        pass


def test_a_newer_form_is_refused(tmp_path):
    journal = Journal(tmp_path / "state.db")
    journal.put(entry())
    (file,) = journal.path.glob("*.json")
    file.write_text(file.read_text().replace('"sovbroker_machine": 1', '"sovbroker_machine": 2'))
    with pytest.raises(StateError, match="form 2"):
        journal.get("job")


def test_whose_a_machine_is():
    launch = "0123456789abcdef01234567"
    tagged = Machine("m", "x", MachineState.RUNNING, tags={"sovbroker-launch": launch})
    named = Machine("m", f"job-{launch}", MachineState.RUNNING)
    assert launch_of(tagged) == launch_of(named) == launch
    for name in ("job", launch[:-1], launch.upper(), f"{launch}-job"):
        assert launch_of(Machine("m", name, MachineState.RUNNING)) == ""


def test_tags_tell_no_more_than_they_have_to():
    told = tags_of(entry(owner="me", policy="p" * 64, expires="soon"), "inst")
    assert told == {
        "sovbroker-launch": "0" * 24,
        "sovbroker-installation": "inst",
        "sovbroker-name": "job",
        "sovbroker-label": "secret",
        "sovbroker-policy": "p" * 16,
        "sovbroker-owner": "me",
        "sovbroker-expires": "soon",
    }
    hidden = tags_of(entry(owner="me", policy="p" * 64, hidden=True), "inst")
    assert hidden == {"sovbroker-launch": "0" * 24, "sovbroker-installation": "inst"}


@given(st.binary(max_size=40), st.text(min_size=4, max_size=20), st.binary(max_size=40))
def test_a_secret_is_found_wherever_it_stands(before, secret, after):
    import base64  # noqa: PLC0415 - of this test

    plain = secret.encode()
    for form in (plain, base64.b64encode(before + plain + after), (before + plain + after).hex().encode()):
        with pytest.raises(InvalidArgument, match="user_data holds the secret"):
            check_user_data(before + form + after, {"name": secret})


def test_a_script_becomes_what_it_was_with_its_ticket():
    ticket = SecretTicket("hvs.token", "https://bao.example/v1/sys/wrapping/unwrap")
    script = with_ticket(ticket, "0" * 24, b"echo hi\n")
    assert script.startswith(b"#!/bin/sh\n")
    assert b"hvs.token" in script
    assert "hvs.token" not in repr(ticket)


def test_an_unknown_adapter_has_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean `local`"):
        find_compute("locl")


def audited(**fields):
    base = {
        "target": "t",
        "id": "i",
        "name": "n",
        "state": MachineState.RUNNING,
        "standing": Standing.FINE,
        "label": "l",
        "ours": True,
    }
    return AuditedMachine(**(base | fields))


def page(*machines, blind=""):
    places = (AuditedPlace("t", len(machines), "" if blind else "seen", blind),)
    return audit_page(Audit(datetime(2026, 1, 1, tzinfo=UTC), "digest", places, machines))


def test_the_page_says_what_is_wrong_and_escapes_everything():
    evil = "<script>alert(1)</script>"
    text = page(audited(name=evil, why=evil, label=evil, id=evil, standing=Standing.VIOLATION))
    assert "1 machine where the policy does not allow it" in text
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 4
    assert "every one where it may be" not in text
    assert "1 machine, every one where it may be" in page(audited())
    assert "it is not clean, it is unseen" in page(blind="nobody answers")
    assert re.search(r"(?:src|href)=", text) is None


def test_the_page_lists_all_that_is_wrong_and_not_all_that_is_fine():
    many = [audited(id=f"i{number}") for number in range(600)]
    wrong = [audited(id=f"w{number}", standing=Standing.UNLABELLED) for number in range(600)]
    text = page(*many, *wrong)
    assert text.count("✕ unlabelled") == 600
    assert text.count("✓ fine") == 500
    assert "100 more are fine" in text


def test_prices_are_decimals():
    assert (
        Needs().cheapest([Size("a", 1, GIB, price=Decimal("0.1")), Size("b", 1, GIB, price=Decimal("0.09"))]).id == "b"
    )
