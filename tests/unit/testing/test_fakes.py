"""Faked clouds behave as the real ones say that they do, and what is asserted of them can fail."""

import base64
import contextlib
import gzip
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import pytest

import sovbroker
from sovbroker import opening, router
from sovbroker.catalogue import Catalogue
from sovbroker.envelope import ClearRecord
from sovbroker.errors import (
    ConfigError,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    Refused,
    StateError,
    StoreError,
    Unavailable,
)
from sovbroker.ports import Binding, Credentials, Feature, Support
from sovbroker.testing.conformance import StoreSuite
from sovbroker.testing.fakes import FakeCloud, fake_clouds

NAME = "Camille Moreau"
LETTER = f"Dear colleague, our patient {NAME} was seen on Monday.".encode()
DAY = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

POLICY = """
sovbroker: 1
name: fakes
levels: [public, internal, confidential, restricted]
default: restricted
zones:
  qualified: {located: [FR], qualified: [secnumcloud]}
  french: {located: [FR], controlled: [FR]}
  anywhere: {}
  american: {provider: [aws]}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {anywhere: {encrypt: client}}}
  confidential: {store: {french: {encrypt: client, keys: french}}, copies: {count: 2, distinct: [provider]}}
  restricted: {store: {qualified: {encrypt: client, names: encrypt, keys: french}}}
classify:
  - {id: public, path: "public/**", label: public}
  - {id: internal, path: "internal/**", label: internal}
  - {id: letters, path: "letters/**", label: confidential}
  - {id: patients, path: "patients/**", label: restricted}
prefer: [american, zone]
"""

CONFIG = """
sovbroker: 1
policy: policy.yaml
keys:
  main: {service: file, path: keyring.json, passphrase: {env: NOBODY_SETS_THIS}, located: FR, controlled: [FR]}
targets:
  - {at: aws/eu-west-3, bucket: acme-public, credentials: {profile: nobody}}
  - {at: outscale/cloudgouv-eu-west-1, bucket: acme-secret, credentials: {env: NOBODY_SETS_THIS_EITHER}}
  - {at: ovhcloud/gra, bucket: acme-letters, credentials: {access_key: {env: NOR_THIS}, secret_key: {env: NOR_THIS}}}
  - {at: cloud-temple/fr1, bucket: acme-letters, parameters: {namespace: acme}}
  - {at: scaleway/fr-par, bucket: acme-letters}
"""


class TestLikeAnS3Service(StoreSuite):
    shared = False

    @pytest.fixture
    def store(self):
        return FakeCloud.at("ovhcloud/gra")


class TestLikeAzure(StoreSuite):
    shared = False

    @pytest.fixture
    def store(self):
        return FakeCloud(FakeCloud.at("aws/eu-west-3").where, adapter="azure")


class TestLikeAPoorService(StoreSuite):
    shared = False

    """One that holds files, and lacks most of what can be lacking."""

    @pytest.fixture
    def store(self):
        lacking = {"range": "absent", "copy": "unsafe", "metadata": "absent", "multipart": "absent"}
        lacking |= {"delimiter": "absent", "ordered-list": "absent", "conditional-put": "unsafe"}
        limits = {"key_max": 250, "put_max": 8 << 20}
        where = FakeCloud.at("ovhcloud/gra").where
        return FakeCloud(where, settings={**lacking, **limits, "keys": "files", "addressing": "path"})


class TestLikeARichService(StoreSuite):
    shared = False

    @pytest.fixture
    def store(self):
        settings = {"conditional-put": "native", "metadata_max": 8192, "key_max": 2000, "part_min": 1000}
        return FakeCloud(FakeCloud.at("ovhcloud/gra").where, settings=settings)


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.delenv("SOVBROKER_CONFIG", raising=False)
    (tmp_path / "policy.yaml").write_text(POLICY)
    path = tmp_path / "sovbroker.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def clouds(config):
    with fake_clouds(config) as clouds:
        clouds.set_time(DAY)
        yield clouds


@pytest.fixture
def broker(clouds):
    return clouds.open()


def secret_of(size):
    return (LETTER * (size // len(LETTER) + 1))[:size]


# --- opening


def test_an_application_that_opens_its_configuration_gets_the_faked_clouds(config, monkeypatch):
    monkeypatch.chdir(config.parent)
    with fake_clouds(config) as clouds:
        clouds.set_time(DAY)
        for path in (config, "sovbroker.yaml", config.parent / "." / "sovbroker.yaml", None):
            with sovbroker.open(path) as broker:
                assert broker.put("public/a.txt", b"a").copies[0].target == "aws/eu-west-3"
        assert [seen.operation for seen in clouds.saw("aws")].count("put") == 4
        with clouds.open() as broker:
            assert broker.read("public/a.txt") == b"a"
        moment = DAY - timedelta(days=30)
        with sovbroker.open(config, clock=lambda: moment) as broker:
            assert broker.put("public/b.txt", b"b").decision.at == moment


def test_without_a_path_the_configuration_is_the_one_that_would_be_opened(config, monkeypatch):
    monkeypatch.setenv("SOVBROKER_CONFIG", str(config))
    with fake_clouds() as clouds, sovbroker.open() as broker:
        broker.put("public/a.txt", b"a")
        assert clouds.saw("aws")


def test_neither_secrets_nor_files_of_the_user_are_touched(config):
    before = sorted(path.name for path in config.parent.iterdir())
    with fake_clouds(config) as clouds, clouds.open() as broker:
        clouds.set_time(DAY)
        broker.put("letters/1", LETTER)
        assert broker.read("letters/1") == LETTER
    assert sorted(path.name for path in config.parent.iterdir()) == before


def test_nothing_opens_a_socket(clouds, broker, monkeypatch):
    def refuse(*_):
        raise AssertionError("somebody reached for the network")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse, raising=True)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(AssertionError, match="reached for the network"):
        socket.create_connection(("127.0.0.1", 9))
    for key, size in (("public/a", 10), ("letters/1", 10), ("letters/2", 17 << 20), ("patients/3", 10)):
        broker.put(key, secret_of(size))
        assert broker.read(key) == secret_of(size)
        assert broker.read(key, range=(1, 5)) == secret_of(size)[1:6]
    broker.copy("letters/1", "letters/4")
    broker.delete("letters/1")
    assert [info.key for info in broker.list("letters/")] == ["letters/2", "letters/4"]


def test_the_facts_and_the_policy_are_the_real_ones(clouds, broker):
    assert sorted(map(str, broker.put("patients/1", LETTER).copies)) == [
        "cloud-temple/fr1 (sealed, names hidden)",
        "outscale/cloudgouv-eu-west-1 (sealed, names hidden)",
    ]
    assert clouds["aws/eu-west-3"].where.facts.controlled.value == {"US"}


def test_real_clouds_of_another_configuration_are_refused(config, clouds, monkeypatch):
    monkeypatch.setenv("NOBODY_SETS_THIS", "a passphrase that the tests made up")
    (other := config.parent / "other").mkdir()
    sovbroker.init(other, passphrase=os.environ["NOBODY_SETS_THIS"])
    (other / "policy.yaml").write_text(POLICY)
    keys, _, _ = CONFIG.partition("targets:")
    target = '{at: aws/eu-west-3, bucket: b, endpoint: "http://127.0.0.1:9", emulated: true}'
    (other / "sovbroker.yaml").write_text(f"{keys}targets:\n  - {target}\n")
    with (
        sovbroker.open(other / "sovbroker.yaml") as real,
        pytest.raises(
            ConfigError, match=r"`aws/eu-west-3` would be opened for real while the clouds of `.*` are faked"
        ),
    ):
        real.put("public/a", b"a")
    assert clouds.saw() == []


def test_a_broker_in_a_folder_works_beside_faked_clouds(config, clouds, monkeypatch):
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "a passphrase that the tests made up")
    sovbroker.init(config.parent / "home")
    with sovbroker.open(config.parent / "home" / "sovbroker.yaml") as real:
        real.put("a", b"a")
        assert real.read("a") == b"a"
    assert clouds.saw() == []


def test_two_configurations_can_be_faked_at_once(config, clouds):
    second = config.parent / "second.yaml"
    second.write_text(CONFIG)
    with fake_clouds(second) as others:
        for path in (config, second):
            with sovbroker.open(path) as broker:
                broker.put(f"public/{path.name}", b"x")
    assert ["sovbroker.yaml" in seen.key for seen in clouds.saw("aws")] == [True]
    assert ["second.yaml" in seen.key for seen in others.saw("aws")] == [True]


def fail_within(config):
    with contextlib.suppress(ZeroDivisionError), fake_clouds(config) as clouds:
        broker = clouds.open()
        broker.put("public/a", b"a")
        assert opening.assemble.__module__ != "sovbroker.opening"
        raise ZeroDivisionError
    return clouds, broker


def test_everything_is_as_before_at_the_end(config):
    before = (opening.assemble, router.find_adapter)
    clouds, broker = fail_within(config)
    assert (opening.assemble, router.find_adapter) == before
    with pytest.raises(StateError):
        broker.read("public/a")
    with pytest.raises(ConfigError, match=r"the keyring .* does not exist"):
        sovbroker.open(config)
    assert [seen.operation for seen in clouds.saw("aws")] == ["put"]


def test_a_wrong_configuration_is_told_at_once(config):
    (config.parent / "policy.yaml").write_text("sovbroker: 1\nzoness: {}\n")
    with pytest.raises(sovbroker.errors.PolicyError), fake_clouds(config):
        pass
    with pytest.raises(ConfigError), fake_clouds(config.parent / "nowhere.yaml"):
        pass


# --- behaving like the providers


def test_settings_of_the_catalogue_decide_what_a_cloud_offers(clouds):
    plain, scaleway = clouds["ovhcloud/gra"], clouds["scaleway/fr-par"]
    assert plain.capabilities[Feature.CONDITIONAL_PUT] is Support.ABSENT
    assert (plain.limits.parts_max, scaleway.limits.parts_max) == (10_000, 1000)
    with pytest.raises(NotSupported):
        plain.put("a", b"a", size=1, if_absent=True)
    assert plain.saw == []


@pytest.mark.parametrize("adapter", ["s3", "local", "memory"])
def test_a_cloud_offers_what_its_adapter_offers(adapter, tmp_path):
    (tmp_path / "objects").mkdir()
    credentials = Credentials({"access_key": "a", "secret_key": "b"})
    s3 = {"endpoint": "https://s3.example", "hosts": frozenset({"s3.example"}), "credentials": credentials}
    real = router.find_adapter(adapter)(
        Binding(
            "real",
            "objects" if adapter == "s3" else str(tmp_path / "objects"),
            region="gra",
            **(s3 if adapter == "s3" else {}),
        )
    )
    fake = FakeCloud(FakeCloud.at("ovhcloud/gra").where, adapter=adapter)
    assert fake.limits == real.limits
    assert fake.capabilities == {**real.capabilities, Feature.PRESIGN: Support.ABSENT}
    real.close()


def test_too_short_parts_and_too_long_bodies_are_refused_as_the_service_does():
    cloud = FakeCloud(FakeCloud.at("ovhcloud/gra").where, settings={"put_max": 10, "part_max": 20, "part_min": 5})
    with pytest.raises(InvalidArgument, match="more than the 10"):
        cloud.put("a", b"x" * 11, size=11)
    upload = cloud.multipart("a")
    with pytest.raises(InvalidArgument, match="more than the 20"):
        upload.part(1, b"x" * 21)
    parts = [upload.part(1, b"1234"), upload.part(2, b"1")]
    with pytest.raises(InvalidArgument, match="part 1 has 4 bytes"):
        upload.commit(parts)
    assert [seen.operation for seen in cloud.saw] == ["multipart", "part", "part"]


def test_metadata_that_do_not_fit_go_into_an_object_beside(clouds, broker):
    broker.put("letters/1", LETTER, metadata={"about": NAME * 300})
    names = [held.name for held in clouds.held("outscale")]
    assert names == [names[0], names[0] + "~"]
    clouds.assert_never_saw(NAME)
    clouds.assert_sealed("letters/*")
    broker.put("public/1", b"x", metadata={"about": NAME * 300})
    with pytest.raises(AssertionError) as caught:
        clouds.assert_sealed("public/*")
    assert str(caught.value).count("`public/1` at aws/eu-west-3, in the clear") == 1


def test_threads_share_the_clouds(clouds, broker):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: broker.put(f"letters/{number}", LETTER), range(40)))
    assert len(clouds.held()) == 80
    assert sum(seen.operation == "put" for seen in clouds.saw()) == 80


# --- who saw what


def test_a_provider_is_asked_by_target_or_by_name(clouds, broker):
    broker.put("public/a.txt", b"abc", metadata={"language": "fr"})
    (seen,) = clouds.saw("aws")
    assert clouds.saw("aws/eu-west-3") == clouds.saw() == [seen]
    assert (seen.target, seen.operation, seen.body, seen.failed) == ("aws/eu-west-3", "put", b"abc", "")
    assert seen.key.startswith("public/a.txt@")
    assert set(seen.metadata) == {"sovbroker"}
    broker.read("public/a.txt")
    broker.delete("public/a.txt")
    assert [each.operation for each in clouds.saw("aws")] == ["put", "get", "delete"]
    clouds.forget()
    assert clouds.saw() == []


@pytest.mark.parametrize("name", ["awz", "aws/eu-west-1", "", "ovhcloud/grav"])
def test_a_misspelt_provider_proves_nothing(clouds, name):
    for call in (clouds.saw, clouds.held, clouds.fail, clouds.mend):
        with pytest.raises(InvalidArgument, match=f"names no target or provider `{name}`"):
            call(name)
    with pytest.raises(InvalidArgument, match="did you mean `aws`"):
        clouds.assert_never_saw(NAME, "awz")


FORMS = {
    "raw": (LETTER, "raw"),
    "hex": (LETTER.hex().encode(), "hex"),
    "base64": (base64.b64encode(b"x" + LETTER), "base64"),
    "url": (quote(LETTER).encode(), "url-encoded raw"),
    "gzip": (gzip.compress(LETTER), "raw in gzip"),
    "utf-16": (LETTER.decode().encode("utf-16"), "raw"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_text_is_found_in_whatever_form_it_was_sent(clouds, broker, form):
    body, said = FORMS[form]
    clouds.assert_never_saw(NAME)
    broker.put("public/a.txt", body)
    with pytest.raises(AssertionError) as caught:
        clouds.assert_never_saw(NAME)
    assert f"a provider saw '{NAME}', and must not:" in str(caught.value)
    assert "aws/eu-west-3  put `public/a.txt@" in str(caught.value)
    assert f"in its body: {said}" in str(caught.value)
    with pytest.raises(AssertionError, match="aws saw"):
        clouds.assert_never_saw(NAME, "aws")
    clouds.assert_never_saw(NAME, "ovhcloud")


def test_a_text_is_found_in_keys_and_metadata(clouds, broker):
    broker.put(f"internal/{NAME}.txt", b"sealed, but for its name")
    with pytest.raises(AssertionError, match="in its key: raw"):
        clouds.assert_never_saw(NAME)
    clouds.forget()
    broker.put("public/a.txt", b"nothing", metadata={"about": NAME})
    with pytest.raises(AssertionError, match="in its metadata `sovbroker`: base64"):
        clouds.assert_never_saw(NAME)


def test_a_text_with_accents_is_found_as_json_escapes_it(clouds, broker):
    broker.put("public/a.json", b'{"name": "Ren\\u00e9e"}')
    with pytest.raises(AssertionError, match="in its body: raw"):
        clouds.assert_never_saw("Renée")
    clouds.assert_never_saw("Renée".encode())


def test_a_text_that_straddles_two_parts_is_found(clouds, broker):
    data = bytearray(20 << 20)
    data[(8 << 20) - 5 : (8 << 20) + 9] = NAME.encode()
    broker.put("public/big.bin", bytes(data))
    assert not [seen for seen in clouds.saw() if NAME.encode() in seen.body]
    with pytest.raises(AssertionError, match="in its parts, joined: raw"):
        clouds.assert_never_saw(NAME)


def test_what_a_failed_request_sent_was_seen_too(clouds, broker):
    clouds.fail("aws", error=PermissionDenied)
    with pytest.raises(PermissionDenied):
        broker.put("public/a.txt", LETTER)
    (seen,) = [seen for seen in clouds.saw("aws") if seen.operation == "put"]
    assert seen.body == LETTER
    assert "fails, as the test ordered" in seen.failed
    with pytest.raises(AssertionError, match="failed: "):
        clouds.assert_never_saw(NAME)
    assert clouds.held() == []


def test_what_was_read_of_a_source_that_broke_was_seen_too():
    class Broken:
        def __init__(self):
            self.pieces = [LETTER, b""]

        def read(self, size=-1, /):
            return self.pieces.pop(0)

    cloud = FakeCloud.at("aws/eu-west-3")
    with pytest.raises(InvalidArgument):
        cloud.put("a", Broken(), size=len(LETTER) + 1)
    (seen,) = cloud.saw
    assert seen.body == LETTER
    with pytest.raises(InvalidArgument):
        cloud.put("a", LETTER, size=len(LETTER) + 1)
    assert cloud.saw == [seen]


def test_a_text_too_short_to_tell_anything_is_refused(clouds):
    for short in ("", "abc", b"abc"):
        with pytest.raises(InvalidArgument, match="occurs by chance"):
            clouds.assert_never_saw(short)


def test_sealed_copies_tell_nothing(clouds, broker):
    broker.put("letters/1", LETTER, metadata={"about": NAME})
    broker.put("letters/2", secret_of(17 << 20))
    broker.put(f"patients/{NAME}", LETTER)
    assert len(clouds.held()) == 6
    clouds.assert_never_saw(NAME)
    clouds.assert_never_saw(LETTER)
    clouds.assert_sealed()


# --- where it lies


def test_what_lies_within_a_region_passes(clouds, broker):
    broker.put("letters/1", LETTER)
    broker.put("patients/1", LETTER)
    broker.put("public/1", b"x")
    for region in ("FR", "EEA", ("FR", "DE"), ["EU"]):
        clouds.assert_only_in(region)
        clouds.assert_only_in(region, "patients/**")


def test_what_lies_outside_is_told_with_its_reason(clouds, broker):
    broker.put("letters/1", LETTER)
    broker.put("patients/1", LETTER)
    with pytest.raises(AssertionError) as caught:
        clouds.assert_only_in("DE", "patients/**")
    assert sorted(str(caught.value).splitlines(), reverse=True) == [
        "what matches `patients/**` must lie in DE only:",
        "  `patients/1` at outscale/cloudgouv-eu-west-1, sealed, its name hidden: located in FR, not only DE",
        "  `patients/1` at cloud-temple/fr1, sealed, its name hidden: located in FR, not only DE",
    ]
    with pytest.raises(InvalidArgument, match="unknown country `Germany`"):
        clouds.assert_only_in("Germany")


@pytest.mark.parametrize("call", ["assert_only_in", "assert_sealed"])
def test_a_pattern_that_matches_nothing_proves_nothing(clouds, broker, call):
    arguments = ("EEA",) if call == "assert_only_in" else ()
    with pytest.raises(AssertionError, match="nothing was stored at all"):
        getattr(clouds, call)(*arguments, "**")
    broker.put("patients/1", LETTER)
    with pytest.raises(AssertionError, match="no object matches `patient/\\*`, so nothing is asserted; there are `pat"):
        getattr(clouds, call)(*arguments, "patient/*")
    with pytest.raises(InvalidArgument):
        getattr(clouds, call)(*arguments, "patients//*")


def test_a_fact_that_has_expired_counts_no_more(clouds, broker, monkeypatch):
    broker.put("letters/1", LETTER)
    clouds.assert_only_in("FR")
    cloud = next(clouds[held.target] for held in clouds.held())
    evidence = type(cloud.where.facts.located.evidence)
    monkeypatch.setattr(evidence, "live", lambda self, at: at < date(2027, 6, 1))
    clouds.assert_only_in("FR")
    clouds.set_time(datetime(2027, 6, 2, tzinfo=UTC))
    with pytest.raises(AssertionError, match="located: expired on"):
        clouds.assert_only_in("FR")


def test_what_could_not_be_removed_still_lies_there(clouds, broker):
    broker.put("public/1", LETTER)
    clouds.fail("aws", "delete", times=None)
    broker.delete("public/1")
    assert not broker.exists("public/1")
    with pytest.raises(AssertionError, match="`public/1` at aws/eu-west-3, in the clear: located in FR"):
        clouds.assert_only_in("DE", "public/*")
    clouds.mend()
    clouds.advance(timedelta(days=1))
    broker.sweep()
    assert clouds.held() == []


def test_parts_that_were_never_joined_lie_there_too(clouds, broker):
    clouds.fail(None, "part", error=PermissionDenied, times=None)
    clouds.fail(None, "abort", times=None)
    clouds.fail(None, "delete", times=None)
    for key in ("letters/big", "patients/big", "public/big"):
        with pytest.raises(PermissionDenied):
            broker.put(key, secret_of(17 << 20))
    found = {held.key: held for held in clouds.held()}
    assert set(found) == {"letters/big", "patients/big", "public/big"}
    assert all(held.unfinished for held in found.values())
    clouds.assert_sealed("patients/*")
    clouds.assert_sealed("letters/*")
    with pytest.raises(AssertionError, match="`public/big` at aws/eu-west-3, in the clear, not finished"):
        clouds.assert_sealed("public/*")
    with pytest.raises(AssertionError, match="patients/big"):
        clouds.assert_only_in("DE", "patients/*")


def test_the_stored_bytes_decide_what_is_sealed(clouds, broker):
    broker.put("letters/1", LETTER)
    clouds.assert_sealed("letters/1")
    held = clouds.held()[0]
    cloud = clouds[held.target]
    for body, said in (
        (LETTER, "in the clear under the record of an envelope"),
        (held.body[:60], "not of the length of an envelope"),
    ):
        cloud.held.put(held.name, body, size=len(body), metadata=held.metadata)
        with pytest.raises(AssertionError, match=f"`letters/1` at {held.target}, {said}"):
            clouds.assert_sealed("letters/1")
    cloud.held.put(held.name, held.body, size=len(held.body))
    with pytest.raises(AssertionError, match="in the clear"):
        clouds.assert_sealed("letters/1")


# --- a document store: no metadata, no parts


@pytest.fixture
def documents(tmp_path, monkeypatch):
    """Clouds of an application whose every target is a folder of a document store, as a contract may have it."""
    connection = Catalogue.connection

    def bound(self, reference, *, adapter=None):
        webdav = {"adapter": "webdav", "template": "https://documents.example/dav", "settings": {}}
        return replace(connection(self, reference, adapter=adapter), **webdav)

    monkeypatch.setattr(Catalogue, "connection", bound)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "sovbroker.yaml").write_text(
        CONFIG.replace("credentials: {profile: nobody}", "credentials: {env: NOBODY_SETS_THIS_EITHER}")
        .replace("{access_key: {env: NOR_THIS}, secret_key: {env: NOR_THIS}}", "{token: {env: NOR_THIS}}")
        .replace(", parameters: {namespace: acme}", "")
    )
    with fake_clouds(tmp_path / "sovbroker.yaml") as clouds:
        clouds.set_time(DAY)
        yield clouds


def test_an_application_may_be_bound_to_document_stores(documents):
    broker = documents.open()
    assert documents["aws/eu-west-3"].capabilities[Feature.METADATA] is Support.ABSENT
    for key in ("public/1", "internal/1", "letters/1", "patients/1"):
        for size in (0, 100, 17 << 20):
            data = secret_of(size)
            broker.put(key, data, metadata={"about": NAME * 3})
            assert broker.read(key) == data
            assert broker.stat(key).metadata == {"about": NAME * 3}
    broker.move("letters/1", "letters/2")
    broker.delete("internal/1")
    for pattern in ("letters/*", "patients/*"):
        documents.assert_sealed(pattern)
        documents.assert_only_in("FR", pattern)
    documents.forget()
    broker.put("patients/1", LETTER, metadata={"about": NAME})
    documents.assert_never_saw(NAME)
    hidden = [held for held in documents.held() if held.key == "patients/1"]
    assert [held.name.endswith("~") for held in hidden] == [False, True] * (len(hidden) // 2)
    assert hidden
    with pytest.raises(AssertionError) as caught:
        documents.assert_sealed("public/*")
    assert str(caught.value).count("`public/1` at aws/eu-west-3, in the clear") == 1
    broker.put("public/1", LETTER, metadata={"about": NAME})
    with pytest.raises(AssertionError, match="in its body: base64"):
        documents.assert_never_saw(NAME, "aws")
    assert not broker.leftovers()


def test_the_bytes_beside_decide_what_is_sealed_at_a_document_store(documents):
    broker = documents.open()
    broker.put("letters/1", LETTER)
    documents.assert_sealed("letters/1")
    body, sidecar = documents.held()[:2]
    cloud = documents[body.target]
    clear = ClearRecord({"key": "letters/1"}).sidecar()
    for name, data in ((body.name, LETTER), (sidecar.name, clear), (sidecar.name, b"")):
        before = body.body if name == body.name else sidecar.body
        cloud.held.put(name, data, size=len(data))
        with pytest.raises(AssertionError, match=f"`letters/1` at {body.target}, in the clear"):
            documents.assert_sealed("letters/1")
        assert all(held.clear for held in documents.held(body.target) if held.name == name)
        cloud.held.put(name, before, size=len(before))
        documents.assert_sealed("letters/1")
    cloud.held.delete(sidecar.name)
    with pytest.raises(AssertionError, match="in the clear"):
        documents.assert_sealed("letters/1")


# --- failures and time


def test_a_failure_that_a_retry_mends_is_not_noticed(clouds, broker):
    clouds.fail("aws")
    broker.put("public/1", b"x")
    assert [(seen.operation, bool(seen.failed)) for seen in clouds.saw("aws")] == [("put", True), ("put", False)]


def test_a_cloud_that_is_down_stays_down_until_it_is_mended(clouds, broker):
    broker.put("public/1", b"x")
    clouds.fail("aws", "any", times=None)
    with pytest.raises(Unavailable, match="aws/eu-west-3: `get` fails, as the test ordered"):
        broker.read("public/1")
    with pytest.raises(Unavailable):
        broker.put("public/2", b"x")
    assert not broker.exists("public/2")
    clouds.mend("aws")
    assert broker.read("public/1") == b"x"


def test_a_read_goes_to_the_next_copy(clouds, broker, caplog):
    first, second = (copy.target for copy in broker.put("letters/1", LETTER).copies)
    clouds.fail(first, "get", error=NotFound, times=None)
    assert broker.read("letters/1") == LETTER
    assert [seen.operation for seen in clouds.saw(second)] == ["put", "get"]


def test_a_failure_comes_as_often_as_ordered_and_as_the_very_error(clouds, broker):
    error = StoreError("the quota is used up", target="aws/eu-west-3")
    clouds.fail("aws", error=error, times=2)
    clouds.fail("aws", error=PermissionDenied)
    for kind in (StoreError, StoreError, PermissionDenied):
        with pytest.raises(StoreError) as caught:
            broker.put("public/1", b"x")
        assert type(caught.value) is kind
    broker.put("public/1", b"x")


def test_deleting_many_tells_which_failed():
    cloud = FakeCloud.at("aws/eu-west-3")
    for key in "abc":
        cloud.put(key, b"x", size=1)
    cloud.fail("delete", times=2)
    assert set(cloud.delete_many(["a", "b", "c"])) == {"a", "b"}


def test_a_failure_that_can_never_come_is_refused(clouds):
    with pytest.raises(InvalidArgument, match="there is no operation `write`"):
        clouds.fail("aws", "write")


def test_time_moves_as_ordered(clouds, broker):
    assert DAY <= broker.put("patients/1", LETTER).decision.at < DAY + timedelta(hours=1)
    clouds.advance(timedelta(days=2))
    assert broker.put("patients/1", LETTER).decision.at >= DAY + timedelta(days=2)
    # The qualification that the catalogue knows ends with the year.
    clouds.set_time(datetime(2027, 1, 1, tzinfo=UTC))
    with pytest.raises(Refused, match="expired on 2026-12-31"):
        broker.put("patients/1", LETTER)
    assert broker.read("patients/1") == LETTER
    with pytest.raises(InvalidArgument, match="has no zone"):
        clouds.set_time(datetime(2027, 1, 1))  # noqa: DTZ001 - what is refused


def test_the_clock_is_the_real_one_until_it_is_set(config):
    before = datetime.now(UTC)
    with fake_clouds(config) as clouds:
        assert before <= clouds.clock() <= datetime.now(UTC)
