"""Keyrings in a configuration: their recipients, what the policy is told of them, and what is found to be otherwise."""

import textwrap
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovbroker.catalogue.facts import KeyHolder
from sovbroker.config import parse_config
from sovbroker.errors import ConfigError, KeyUnavailable
from sovbroker.keyrings import Keyrings
from sovbroker.keys import EscrowService, Keyring, RecoveryService, new_escrow
from sovbroker.opening import world_of
from sovbroker.policy import loads
from sovbroker.recipients import (
    alone,
    apply_recipients,
    create_keyring,
    find_key_service,
    holders_of,
    open_keyring,
    open_recipient,
    service_of,
)

POLICY = """
sovbroker: 1
name: keys
levels: [secret]
default: secret
zones:
  european: {located: [EEA], controlled: [EEA]}
  anywhere: {}
  split: {alone: []}
  sovereign: {located: [FR], qualified: [secnumcloud>=3.2]}
  ours: {alone: [EEA]}
require:
  secret: {store: {anywhere: {encrypt: client, keys: european}}}
"""
HERE = {"located": frozenset({"FR"}), "controlled": frozenset({"FR"})}


def keyring(section: str, *, folder: Path = Path("/nowhere")):
    """The one keyring of a configuration whose `keys: main` is this."""
    text = (
        "sovbroker: 1\ntargets:\n  - {at: memory}\nkeys:\n  main:\n"
        + textwrap.indent(textwrap.dedent(section).strip(), "    ")
        + "\n"
    )
    (found,) = parse_config(text, file=folder / "sovbroker.yaml").keys
    return found


def several(*places: str | None, quorum: int = 1, recovery: bool = False):
    """A keyring whose recipients are under the law of these countries; None: it is not said."""
    lines = ["path: ring.json", f"quorum: {quorum}", f"recovery: {str(recovery).lower()}", "recipients:"]
    for number, place in enumerate(places):
        facts = "" if place is None else f", located: {place}, controlled: {place}"
        lines.append(f"  r{number}: {{service: vault, key: k{facts}}}")
    return keyring("\n".join(lines))


def european(key, zone: str = "european") -> bool:
    """Whether the policy takes a keyring for one in a zone, which is Europe where none is named."""
    config = parse_config("sovbroker: 1\ntargets: [{at: memory}]", file=Path("/nowhere/sovbroker.yaml"))
    policy = loads(
        POLICY.replace("keys: european", f"keys: {zone}"), targets=world_of(config).targets, keys=holders_of(key)
    )
    decision = policy.decide("a", label="secret")
    # However it holds the keys, it is this one.
    assert all(choice.keys == (key.name,) for choice in decision.targets)
    return decision.allowed


def test_a_keyring_in_one_go():
    found = keyring("{service: file, path: ring.json, passphrase: {env: WORD}, located: FR, controlled: EEA}")
    (only,) = found.recipients
    assert (only.name, only.service, found.path, found.quorum) == ("passphrase", "file", Path("/nowhere/ring.json"), 1)
    (holder,) = holders_of(found)
    assert (holder.id, holder.name) == ("main", "main")
    assert holder.facts.located.value == {"FR"}
    assert "FR" in holder.facts.controlled.value


def test_a_key_service_in_one_go():
    found = keyring(
        """
        service: vault
        path: ring.json
        key: sovbroker
        endpoint: https://bao.example:8200
        credentials: {token: {file: token}}
        settings: {mount: transit, timeout: 3, cleartext: false, namespace: "7"}
        """
    )
    (only,) = found.recipients
    assert (only.name, only.service, only.key, only.endpoint) == (
        "vault",
        "vault",
        "sovbroker",
        "https://bao.example:8200",
    )
    assert only.credentials["token"].file == Path("/nowhere/token")
    assert only.settings == {"mount": "transit", "timeout": 3, "cleartext": False, "namespace": "7"}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{path: r.json}", "needs the key `service`, or several `recipients`"),
        ("{path: r.json, service: file}", "needs the key `passphrase`"),
        ("{path: r.json, service: vault}", "needs the `key`"),
        ("{path: r.json, service: vault, key: a, passphrase: {env: A}}", "`passphrase` does not belong"),
        ("{path: r.json, service: file, passphrase: {env: A}, endpoint: x}", "`endpoint` does not belong"),
        ("{path: r.json, service: escrow}", "needs the key `public`"),
        ("{path: r.json, service: file, passphrase: word}", "does not stand in the file"),
        ("{path: r.json, key: a, recipients: {v: {service: vault, key: a}}}", "`key` tells of one recipient"),
        (
            "{path: r.json, service: vault, key: a, recipients: {v: {service: vault, key: a}}}",
            "one `service`, or `recipients`",
        ),
        ("{path: r.json, recipients: {word: {service: file, passphrase: {env: A}}}}", "is called `passphrase`"),
        ("{path: r.json, quorum: 2, recipients: {v: {service: vault, key: a}}}", "cannot be met by 1"),
        (
            "{path: r.json, quorum: 2, recipients: {v: {service: vault, key: a}, e: {service: escrow, public: p}}}",
            "cannot be met by 1",
        ),
        ("{path: r.json, service: vault, key: a, quorum: 2}", "one `service` cannot be 2"),
        ("{path: r.json, quorum: 17, recipients: {v: {service: vault, key: a}}}", "from 1 to 16"),
        ("{path: r.json, recipients: {v: {service: vault, key: a, colour: red}}}", "colour"),
    ],
)
def test_what_does_not_go_together_is_found(section, said):
    with pytest.raises(ConfigError, match=r"sovbroker\.yaml:\d+:\d+") as caught:
        keyring(section)
    assert said in str(caught.value)


def test_an_unknown_key_service_has_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean `vault`"):
        find_key_service("valut")
    with pytest.raises(ConfigError, match=r"known: .*escrow, file"):
        find_key_service("qqqqqqq")


@pytest.mark.parametrize(
    ("places", "quorum", "inside"),
    [
        (["FR"], 1, True),
        (["US"], 1, False),
        ([None], 1, False),
        (["FR", "DE"], 1, True),
        (["FR", "US"], 1, False),
        (["FR", None], 1, False),
        (["FR", "DE", "US"], 2, True),
        (["FR", "DE", None], 2, True),
        (["FR", "US", "US"], 2, False),
        (["FR", "US", None], 2, False),
        (["FR", "US"], 2, True),
        (["US", "US"], 2, False),
        (["FR", "DE", "US", "US"], 3, True),
        (["FR", "US", "US", "US"], 3, False),
    ],
)
def test_a_keyring_is_where_those_outside_cannot_open_it(places, quorum, inside):
    """With fewer of them than it takes, they need somebody inside."""
    assert european(several(*places, quorum=quorum)) is inside


@pytest.mark.parametrize(
    ("places", "quorum", "split", "ours"),
    [
        (["FR"], 1, False, True),
        (["US"], 1, False, False),
        (["FR", "FR"], 2, False, True),
        (["FR", "DE"], 2, True, True),
        (["US", "CH"], 2, True, True),
        (["FR", "DE", "DE"], 2, False, True),
        (["FR", "DE", "US"], 2, True, True),
        (["US", "US", "FR"], 2, False, False),
        (["US", "US", "FR"], 3, True, True),
        (["FR", None], 2, False, True),
        (["US", None], 2, False, False),
        (["FR", "DE", None], 3, True, True),
        ([None, None], 2, False, False),
    ],
)
def test_who_opens_a_keyring_alone(places, quorum, split, ours):
    """A country does whose law reaches as many recipients as it takes; it may reach one that nothing is known of."""
    key = several(*places, quorum=quorum)
    assert (european(key, "split"), european(key, "ours")) == (split, ours)


@given(
    st.lists(st.one_of(st.none(), st.frozensets(st.sampled_from("ABC"), min_size=1)), min_size=1, max_size=5),
    st.integers(1, 5),
)
def test_who_opens_alone_is_whoever_reaches_enough_whatever_is_unknown(controlled, quorum):
    """Against the definition, tried on every way in which the unknown ones may be reached."""
    found = alone(controlled, quorum)
    worlds = product(*([one] if one is not None else [frozenset(), *map(frozenset, "ABCD")] for one in controlled))
    able = {c for world in worlds for c in "ABCD" if sum(c in one for one in world) >= quorum}
    assert found == (None if "D" in able else able)


QUALIFIED = """
path: ring.json
quorum: %d
recovery: false
recipients:
  paris: {service: vault, key: k, located: FR, controlled: FR, qualified: [%s]}
  lille: {service: vault, key: k, located: FR, controlled: FR, qualified: [%s]}
"""
NEW, OLD, SOON = (
    "{scheme: secnumcloud, version: '3.2', until: 2099-01-01}",
    "{scheme: secnumcloud, version: '3.1', until: 2099-01-01}",
    "{scheme: secnumcloud, version: '3.2', until: 2020-01-01}",
)


@pytest.mark.parametrize(
    ("quorum", "paris", "lille", "inside"),
    [
        (1, NEW, NEW, True),
        (1, NEW, OLD, False),
        (1, NEW, SOON, False),
        (1, NEW, "{scheme: hds, until: 2099-01-01}", False),
        (1, NEW, "{scheme: secnumcloud, until: 2099-01-01}", False),
        # It takes both, so one that is qualified is enough.
        (2, NEW, OLD, True),
        (2, OLD, SOON, False),
    ],
)
def test_a_keyring_is_as_qualified_as_whoever_is_needed(quorum, paris, lille, inside):
    assert european(keyring(QUALIFIED % (quorum, paris, lille)), "sovereign") is inside


def test_a_single_key_service_may_be_qualified():
    text = "{service: vault, path: r.json, key: k, located: FR, controlled: FR, recovery: false, qualified: [%s]}"
    assert european(keyring(text % NEW), "sovereign")
    assert not european(keyring(text % OLD), "sovereign")
    for wrong, said in (("{scheme: secnumclout, until: 2099-01-01}", "secnumcloud"), ("{scheme: hds}", "until")):
        with pytest.raises(ConfigError, match=said):
            keyring(text % wrong)
    with pytest.raises(ConfigError, match="`qualified` tells of one recipient"):
        keyring(f"{{path: r.json, qualified: [{NEW}], recipients: {{v: {{service: vault, key: a}}}}}}")


def test_a_recovery_code_counts_with_the_recipients():
    assert not european(several("FR", recovery=True))
    found = several("FR", recovery=True)
    assert len(holders_of(found)) == 1
    told = keyring(
        "{path: r, located: FR, controlled: FR, recipients: {a: {service: vault, key: k, located: FR, controlled: FR}}}"
    )
    assert european(told)


def test_too_many_ways_to_hold_a_key_are_refused():
    countries = ["FR", "DE", "IT", "ES", "PT", "NL", "BE", "AT", "SE", "FI", "DK", "IE", "PL", "CZ", "GR", "US"]
    with pytest.raises(ConfigError, match="too many ways"):
        holders_of(several(*countries, quorum=8))


def test_a_quorum_that_nobody_could_meet_is_in_no_zone():
    with pytest.raises(ConfigError, match="1 recipients cannot be 2"):
        holders_of(replace(several("US"), quorum=2))


def test_several_ways_are_told_apart_and_mean_one_keyring():
    ways = holders_of(several("FR", "DE", "US", quorum=2))
    assert {way.name for way in ways} == {"main"}
    assert len({way.id for way in ways}) == len(ways) == 3
    assert KeyHolder("a", ways[0].facts).name == "a"


@pytest.fixture
def pairs(tmp_path):
    """The private halves of key pairs that stand in for key services, in files."""
    made = {}
    for name in ("paris", "berlin", "ohio"):
        private, public = new_escrow()
        for half, text in (("private", private), ("public", public)):
            path = tmp_path / f"{name}.{half}"
            path.write_text(text + "\n")
            path.chmod(0o600)
        made[name] = private
    return made


def ring(folder, *names, quorum=1, recovery=False, offline=()):
    lines = [f"path: {folder}/ring.json", f"quorum: {quorum}", f"recovery: {str(recovery).lower()}", "recipients:"]
    for name in names:
        half = f"public: {name}.public" if name in offline else f"private: {{file: {name}.private}}"
        lines.append(f"  {name}: {{service: escrow, {half}, located: FR, controlled: FR}}")
    return keyring("\n".join(lines), folder=folder)


def test_a_keyring_of_several_is_made_and_opened(tmp_path, pairs):
    key = ring(tmp_path, "paris", "berlin", "ohio", quorum=2, offline=["ohio"])
    assert create_keyring(key) is None
    with open_keyring(key) as opened:
        kid = opened.domain("health").kid
        assert opened.status().recipients == ("paris", "berlin", "ohio")
    services = [EscrowService(name, pairs[name]) for name in ("ohio", "paris")]
    with Keyring.open(key.path, services) as opened:
        assert opened.by_kid(kid).kid == kid


def test_who_is_not_at_hand_is_left_out_where_others_suffice(tmp_path, pairs):
    key = ring(tmp_path, "paris", "berlin")
    create_keyring(key)
    (tmp_path / "paris.private").unlink()
    with open_keyring(key) as opened:
        assert opened.domain
    (tmp_path / "berlin.private").unlink()
    with pytest.raises(ConfigError, match=r"needs 1 recipients at hand, and there are 0: .*paris.*berlin"):
        open_keyring(key)


def test_a_keyring_that_somebody_else_opens_too_is_refused(tmp_path, pairs):
    """The policy judges what the configuration says of it."""
    create_keyring(ring(tmp_path, "paris", "ohio"))
    key = ring(tmp_path, "paris")
    with pytest.raises(ConfigError, match=r"also wrapped for `ohio`.*recipients apply main"):
        open_keyring(key)
    assert apply_recipients(key).recipients == ("paris",)
    open_keyring(key).close()


def test_a_keyring_that_takes_fewer_than_the_configuration_says_is_refused(tmp_path, pairs):
    create_keyring(ring(tmp_path, "paris", "berlin"))
    key = ring(tmp_path, "paris", "berlin", quorum=2)
    with pytest.raises(ConfigError, match="takes 1 of its recipients"):
        open_keyring(key)
    assert apply_recipients(key).quorum == 2
    open_keyring(key).close()
    with pytest.raises(KeyUnavailable, match="1 of the 2"):
        Keyring.open(key.path, EscrowService("paris", pairs["paris"]))


def test_a_recovery_code_that_the_configuration_denies_is_found(tmp_path, pairs):
    with_code = ring(tmp_path, "paris", recovery=True)
    code = create_keyring(with_code)
    without = ring(tmp_path, "paris")
    with pytest.raises(ConfigError, match="also wrapped for `recovery`"):
        open_keyring(without)
    assert apply_recipients(with_code).recipients == ("paris", "recovery")
    assert apply_recipients(without).recipients == ("paris",)
    with pytest.raises(KeyUnavailable):
        Keyring.open(without.path, RecoveryService(code))


def test_what_is_added_opens_what_was_there(tmp_path, pairs):
    before = ring(tmp_path, "paris")
    create_keyring(before)
    with open_keyring(before) as opened:
        kid = opened.domain("health").kid
    apply_recipients(ring(tmp_path, "paris", "berlin", "ohio", offline=["ohio"]))
    for name in ("berlin", "ohio"):
        with Keyring.open(before.path, EscrowService(name, pairs[name])) as opened:
            assert opened.by_kid(kid).kid == kid


def test_an_escrow_with_another_key_is_wrapped_for_anew(tmp_path, pairs):
    key = ring(tmp_path, "paris", "ohio", offline=["ohio"])
    create_keyring(key)
    private, public = new_escrow()
    (tmp_path / "ohio.public").write_text(public)
    apply_recipients(key)
    Keyring.open(key.path, EscrowService("ohio", private)).close()
    with pytest.raises(KeyUnavailable):
        Keyring.open(key.path, EscrowService("ohio", pairs["ohio"]))


def test_an_escrow_without_a_half_says_so(tmp_path, pairs):
    key = ring(tmp_path, "paris", "ohio", offline=["ohio"])
    with pytest.raises(ConfigError, match="lies offline"):
        open_recipient(key.recipients[1])
    (tmp_path / "ohio.public").unlink()
    with pytest.raises(ConfigError, match="cannot read the public half"):
        create_keyring(key)
    assert not key.path.exists()


def test_key_services_are_given_back(tmp_path, pairs, monkeypatch):
    """With the keyring, with the broker's keyrings, and where it does not open at all."""
    closed = []
    monkeypatch.setattr(EscrowService, "close", lambda self: closed.append(self.name))
    key = ring(tmp_path, "paris", "berlin")
    create_keyring(key)
    assert sorted(closed) == ["berlin", "paris"]
    closed.clear()
    keyrings = Keyrings({"main": service_of(key)})
    keyrings.domain("main")
    assert closed == []
    keyrings.close()
    assert sorted(closed) == ["berlin", "paris"]
    closed.clear()
    apply_recipients(ring(tmp_path, "paris", "berlin", quorum=2))
    assert sorted(closed) == ["berlin", "paris"]
    closed.clear()
    with pytest.raises(ConfigError, match="takes 2"):
        open_keyring(key)
    assert set(closed) == {"berlin", "paris"}
