"""Places that only a contract leads to, bound by the overlay and played by real servers on this machine."""

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

import sovbroker
from sovbroker.doctor import Severity, examine
from sovbroker.errors import ConfigError, Refused, StoreError
from sovbroker.keys import Cost, Keyring, PassphraseService
from sovbroker.testing.objects import APPLICATION, ObjectService
from sovbroker.testing.servers import rclone_s3
from sovbroker.testing.webdav import rclone_webdav

PASSPHRASE = "a passphrase that the tests made up"
DOCUMENT = b"what the contract says"
ZOE = '{owner: zoe@acme.example, reason: "read annex 2"}'
VOUCHED = f"attestation: contract, accept_relaxation: {ZOE}"
HEAD = f"""\
schema: sovbroker.overlay/1
attestations:
  contract:
    document: contract.pdf
    sha256: {hashlib.sha256(DOCUMENT).hexdigest()}
    by: "the provider, contract 7"
    issued: 2026-01-15
    expires: 2028-01-15
"""
POLICY = """
sovbroker: 1
levels: [public, secret]
zones:
  ours: {located: [FR], controlled: [FR]}
  anywhere: {}
require:
  public: {store: {ours: {}}}
  secret: {store: {ours: {encrypt: client, names: encrypt}}}
classify:
  - {id: secrets, path: "secret/**", label: secret}
default: public
"""
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AFTER = datetime(2028, 1, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with rclone_s3(tmp_path_factory.mktemp("s3")) as server:
        server.create_bucket("objects")
        yield server


@pytest.fixture(scope="module")
def dav(tmp_path_factory):
    with rclone_webdav(tmp_path_factory.mktemp("dav")) as server:
        server.create_folder("objects")
        yield server


@pytest.fixture(scope="module")
def openstack():
    with ObjectService() as service:
        service.server.create_container("objects")
        yield service


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return a function that writes an installation with one target under an overlay; returns its configuration."""
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", PASSPHRASE)
    quick = PassphraseService(PASSPHRASE, cost=Cost(memory=8 << 10, passes=1, lanes=1))
    Keyring.create(tmp_path / "keyring.json", quick, recovery=False)[0].close()

    def written(target: str, overlay: str):
        (tmp_path / "policy.yaml").write_text(POLICY)
        (tmp_path / "facts.yaml").write_text(HEAD + overlay)
        (tmp_path / "contract.pdf").write_bytes(DOCUMENT)
        (tmp_path / "sovbroker.yaml").write_text(
            "sovbroker: 1\npolicy: policy.yaml\noverlay: facts.yaml\n"
            "keys: {main: {service: file, path: keyring.json, passphrase: {env: SOVBROKER_PASSPHRASE}}}\n"
            f"targets: [{target}]\n"
        )
        return tmp_path / "sovbroker.yaml"

    return written


def bound(at: str, adapter: str, endpoint: str, *, facts: bool = True, settings: str = "{attempts: 2}") -> str:
    way = f"adapter: {adapter}, endpoint: '{endpoint}', settings: {settings}"
    text = f"targets:\n  {at}:\n    binding: {{{way}, {VOUCHED}}}\n"
    if facts:
        text += f"    located: {{is: [FR], {VOUCHED}}}\n    controlled: {{is: [FR], {VOUCHED}}}\n"
    return text


def at_s3(server, at: str, more: str = "emulated: true") -> str:
    keys = f"{{access_key: {server.access_key}, secret_key: {server.secret_key}}}"
    return f"{{at: {at}, bucket: objects, credentials: {keys}, {more}}}"


RCLONE = "{conditional-put: unsafe, keys: files, metadata_max: 1500}"


@pytest.mark.parametrize("at", ["oodrive/fr", "jamespot/fr", "worldline/fr"])
def test_a_contract_s_s3_takes_and_gives_objects(s3, written, at: str):
    config = written(at_s3(s3, at), bound(at, "s3", s3.url, settings=RCLONE))
    with sovbroker.open(config, clock=lambda: NOW) as broker:
        stored = broker.put("secret/letter", b"for Zoe's eyes")
        assert [copy.target for copy in stored.copies] == [at]
        assert broker.read("secret/letter") == b"for Zoe's eyes"
        assert broker.put("plain", b"for everybody").label == "public"
        assert broker.read("plain") == b"for everybody"
        assert "accepted by zoe@acme.example: read annex 2" in " ".join(stored.decision.reasons)


@pytest.mark.parametrize("at", ["oodrive/fr", "jamespot/fr", "worldline/fr"])
def test_a_contract_s_webdav_takes_and_gives_objects(dav, written, at: str):
    credentials = f"{{username: {dav.username}, password: {dav.password}}}"
    target = f"{{at: {at}, bucket: objects, emulated: true, credentials: {credentials}}}"
    with sovbroker.open(written(target, bound(at, "webdav", dav.url)), clock=lambda: NOW) as broker:
        assert broker.places[at].binding.hosts == {dav.host}
        stored = broker.put("secret/letter", b"for Zoe's eyes")
        assert [copy.target for copy in stored.copies] == [at]
        assert broker.read("secret/letter") == b"for Zoe's eyes"


@pytest.mark.parametrize("at", ["jamespot/fr", "worldline/fr"])
def test_a_contract_s_openstack_takes_and_gives_objects(openstack, written, at: str):
    binding = openstack.keystone_binding("objects")
    name, secret = APPLICATION
    credentials = f"{{application_credential_id: {name}, application_credential_secret: {secret}}}"
    target = f"{{at: {at}, bucket: objects, emulated: true, credentials: {credentials}}}"
    settings = f'{{authority: "{binding.settings["authority"]}"}}'
    config = written(target, bound(at, "swift", binding.endpoint, settings=settings))
    with sovbroker.open(config, clock=lambda: NOW) as broker:
        assert broker.places[at].binding.hosts == binding.hosts
        broker.put("secret/letter", b"for Zoe's eyes")
        assert broker.read("secret/letter") == b"for Zoe's eyes"


def test_an_emulated_openstack_shows_no_credential_to_a_real_keystone(openstack, written):
    binding = openstack.keystone_binding("objects")
    credentials = "{username: u, password: p, project_id: '1'}"
    target = f"{{at: worldline/fr, bucket: objects, emulated: true, credentials: {credentials}}}"
    overlay = bound("worldline/fr", "swift", binding.endpoint, settings='{authority: "https://keys.example/v3"}')
    with sovbroker.open(written(target, overlay), clock=lambda: NOW) as broker:
        assert "keys.example" not in broker.places["worldline/fr"].binding.hosts
        with pytest.raises(StoreError, match=r"keys\.example:443` is not a host of this target"):
            broker.put("secret/letter", b"x")


def test_the_emulator_may_be_named_by_the_configuration_instead(s3, written):
    target = at_s3(s3, "worldline/fr", f'emulated: true, endpoint: "{s3.url}"')
    config = written(target, bound("worldline/fr", "s3", "https://s3.worldline.example", settings=RCLONE))
    with sovbroker.open(config, clock=lambda: NOW) as broker:
        broker.put("secret/other", b"x")
        assert broker.read("secret/other") == b"x"


def test_a_server_on_this_machine_does_not_pass_for_a_provider(s3, written):
    config = written(at_s3(s3, "worldline/fr", "parameters: {}"), bound("worldline/fr", "s3", s3.url))
    config.write_text(config.read_text().replace(s3.access_key, "{env: A}").replace(s3.secret_key, "{env: B}"))
    with pytest.raises(ConfigError, match=r"binds `worldline/fr` to `http://127.*say `emulated: true` of the target"):
        sovbroker.open(config)


def test_an_emulated_target_stays_on_this_machine(s3, written):
    config = written(at_s3(s3, "worldline/fr"), bound("worldline/fr", "s3", "https://s3.worldline.example"))
    with pytest.raises(
        ConfigError, match=r"`worldline/fr` is emulated, and `https://s3\.worldline\.example` is not on"
    ):
        sovbroker.open(config)


def test_a_place_of_one_s_own_on_this_machine_is_what_it_is(s3, written, monkeypatch):
    monkeypatch.setenv("OWN_ACCESS_KEY", s3.access_key)
    monkeypatch.setenv("OWN_SECRET_KEY", s3.secret_key)
    config = written(
        "{at: acme-minio/here, bucket: objects, credentials: {env: OWN}}",
        f"""\
private:
  acme-minio:
    name: "Acme's MinIO"
    seat: {{is: "Acme SAS, Lyon (FR)"}}
    controlled: {{is: [FR]}}
    regions: {{here: {{country: FR, place: "this room"}}}}
    storage: {{api: s3, adapter: s3, endpoints: [{{is: "{s3.url}"}}], settings: {RCLONE}}}
    attestation: contract
    accept_relaxation: {ZOE}
""",
    )
    with sovbroker.open(config, clock=lambda: NOW) as broker:
        assert broker.put("secret/mine", b"x").copies[0].target == "acme-minio/here"
        assert broker.read("secret/mine") == b"x"
        assert not broker.places["acme-minio/here"].target.emulated


# --- what a policy makes of it


def test_the_policy_decides_by_it_until_the_document_ends(s3, written):
    at = "worldline/fr"
    unsaid = written(at_s3(s3, at), bound(at, "s3", s3.url, facts=False))
    with sovbroker.open(unsaid, clock=lambda: NOW) as broker, pytest.raises(Refused, match="known only from memory"):
        broker.put("plain", b"x")
    config = written(at_s3(s3, at), bound(at, "s3", s3.url, settings=RCLONE))
    with sovbroker.open(config, clock=lambda: NOW) as broker:
        decision = broker.explain("plain")
        assert (decision.allowed, str(decision.valid_until)) == (True, "2028-01-15")
        (told,) = [reason for reason in decision.reasons if "contract.pdf" in reason]
        assert told == (
            "worldline/fr counts by `contract.pdf` of the provider, contract 7, until 2028-01-15, accepted by "
            "zoe@acme.example: read annex 2"
        )
    with sovbroker.open(config, clock=lambda: AFTER) as broker:
        decision = broker.explain("plain")
        assert not decision.allowed
        assert "located: expired on 2028-01-15" in str(decision)


def test_what_tightens_takes_a_target_away(s3, written):
    target = at_s3(s3, "ovhcloud/gra", f'emulated: true, endpoint: "{s3.url}"')
    with sovbroker.open(written(target, "targets: {ovhcloud/rbx: {}}\n"), clock=lambda: NOW) as broker:
        assert broker.explain("plain").allowed
    tighter = "targets: {ovhcloud/gra: {controlled: {is: [FR, CA], attestation: contract}}}\n"
    with sovbroker.open(written(target, tighter), clock=lambda: NOW) as broker:
        assert broker.explain("plain").rejected["ovhcloud/gra"] == (
            "`public`: not in ours: reached by the law of CA, not only FR",
        )


def test_decisions_record_the_overlay(s3, written):
    target = at_s3(s3, "ovhcloud/gra", f'emulated: true, endpoint: "{s3.url}"')

    def digest(overlay: str) -> str:
        with sovbroker.open(written(target, overlay), clock=lambda: NOW) as broker:
            return broker.explain("plain").catalogue

    nothing, elsewhere = "targets: {ovhcloud/gra: {}}\n", "targets: {ovhcloud/rbx: {}}\n"
    assert digest(nothing) == digest(nothing + "# a comment\n")
    assert digest(nothing) != digest(elsewhere)


# --- what people are shown


def test_targets_and_doctor_tell_who_accepts_what_and_by_which_document(s3, written):
    at = "worldline/fr"
    config = written(at_s3(s3, at), bound(at, "s3", s3.url, settings=RCLONE))
    command = [sys.executable, "-m", "sovbroker", "--config", str(config), "targets", "list"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert "worldline/fr: located attested by `contract.pdf` of the provider, contract 7, until 2028-01-15, acc" in text
    (row,) = json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True, timeout=60).stdout)
    assert [found["what"] for found in row["attested"]] == ["located", "controlled", "binding"]
    assert row["attested"][0] == {
        "what": "located",
        "document": "contract.pdf",
        "sha256": hashlib.sha256(DOCUMENT).hexdigest(),
        "by": "the provider, contract 7",
        "issued": "2026-01-15",
        "expires": "2028-01-15",
        "accepted": {"owner": "zoe@acme.example", "reason": "read annex 2"},
    }
    found = list(examine(config, clock=lambda: NOW))
    assert [f.severity for f in found if f.subject == "document: contract.pdf"] == [Severity.OK]
    told = [f.what for f in found if f.subject == "attested: worldline/fr"]
    assert len(told) == 3
    assert all("accepted by zoe@acme.example: read annex 2" in what for what in told)


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (datetime(2027, 12, 20, tzinfo=UTC), "ends on 2028-01-15"),
        (AFTER, "ended on 2028-01-15"),
    ],
)
def test_the_doctor_warns_of_an_end(s3, written, day: datetime, said: str):
    config = written(at_s3(s3, "worldline/fr"), bound("worldline/fr", "s3", s3.url))
    (found,) = [f for f in examine(config, clock=lambda: day) if f.subject == "document: contract.pdf"]
    assert (found.severity, found.what) == (Severity.WARNING, said)


def test_the_doctor_tells_of_a_document_that_is_not_there_and_of_one_that_is_another(s3, written, tmp_path):
    config = written(at_s3(s3, "worldline/fr"), bound("worldline/fr", "s3", s3.url))
    (tmp_path / "contract.pdf").unlink()
    (found,) = [f for f in examine(config, clock=lambda: NOW) if f.subject == "document: contract.pdf"]
    assert "its SHA-256 was not compared" in found.what
    (tmp_path / "contract.pdf").write_bytes(b"another")
    *_, last = examine(config, clock=lambda: NOW)
    assert (last.severity, last.subject) == (Severity.ERROR, "overlay")
    assert "SO011" in last.what


def test_a_command_with_a_wrong_overlay_exits_with_2(s3, written):
    config = written(at_s3(s3, "worldline/fr"), "targets: {worldline/de: {}}\n")
    command = [sys.executable, "-m", "sovbroker", "--config", str(config), "targets", "list"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "error[SO014]: `worldline` has no region `de`" in done.stderr
    unbound = written(at_s3(s3, "worldline/fr"), "targets: {ovhcloud/gra: {}}\n")
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, unbound
    assert "`worldline/fr` cannot be opened yet: Worldline publishes no storage API" in done.stderr
