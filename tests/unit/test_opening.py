"""From a configured target to its real adapter: every target of the catalogue, without a request."""

import json
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sovbroker.catalogue import load
from sovbroker.config import TargetConfig, parse_config
from sovbroker.errors import ConfigError
from sovbroker.opening import place_of
from sovbroker.ports import Credentials
from sovbroker.router import find_adapter

KNOWN = load()
FILLED = {"account": "acme", "namespace": "acme", "space_id": "7f-1"}
BOUND = [target.id for target in KNOWN.targets() if not KNOWN.connection(target.id).supply]
UNBOUND = [target.id for target in KNOWN.targets() if KNOWN.connection(target.id).supply]
SIZE_MAX = 5 * 10**12


@pytest.fixture(scope="module")
def pem():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def configured(at: str, **more) -> TargetConfig:
    wanted = KNOWN.connection(at).parameters
    return TargetConfig(at=at, container="bucket", parameters={name: FILLED[name] for name in wanted}, **more)


@pytest.fixture(scope="module")
def opened(pem):
    """Return a function that opens the store of a target, as the router does, with made-up credentials."""

    def opened(at: str):
        place = place_of(configured(at), KNOWN)
        universe = place.binding.settings.get("universe-domain", "googleapis.com")
        account = {"type": "service_account", "client_email": "a@b", "private_key": pem, "private_key_id": "1",
                   "universe_domain": universe, "token_uri": "https://nowhere.example/token"}  # fmt: skip
        secrets = {
            "s3": {"access_key": "a", "secret_key": "s"},
            "azure": {"access_key": "YQ=="},
            "gcs": {"service_account": json.dumps(account)},
        }[place.adapter]
        return place, find_adapter(place.adapter)(replace(place.binding, credentials=Credentials(secrets)))

    return opened


def test_there_is_something_to_open():
    assert len(BOUND) > 60
    assert {at.partition("/")[0] for at in UNBOUND} == {"clever-cloud", "jamespot", "oodrive", "stackit", "worldline"}


@pytest.mark.parametrize("provider", sorted({at.partition("/")[0] for at in BOUND}))
def test_every_target_has_a_client_that_talks_to_its_own_hosts_alone(opened, provider: str):
    for at in (at for at in BOUND if at.startswith(f"{provider}/")):
        place, store = opened(at)
        try:
            url = urlsplit(store.presign("some/key", expires=timedelta(minutes=1)))
        finally:
            store.close()
        endpoint, settings = urlsplit(place.binding.endpoint), place.binding.settings
        hosts = {endpoint.netloc}
        if settings.get("addressing") == "virtual":
            hosts.add(f"bucket.{endpoint.netloc}")
        if "authority" in settings:
            hosts.add(settings["authority"])
        assert place.binding.hosts == hosts
        assert url.scheme == "https"
        assert url.netloc in hosts - {settings.get("authority")}
        below = "/" if settings.get("addressing") == "virtual" else "/bucket/"
        assert url.path == f"{endpoint.path}{below}some/key"


@pytest.mark.parametrize("at", [at for at in BOUND if KNOWN.connection(at).adapter == "s3"][::7])
def test_signatures_name_the_region_and_their_version(opened, at: str):
    place, store = opened(at)
    url = store.presign("k", expires=timedelta(minutes=1))
    store.close()
    if place.binding.settings.get("signature") == "s3":
        assert "AWSAccessKeyId=a" in url
        assert "X-Amz-" not in url
    else:
        assert f"%2F{place.binding.region}%2Fs3%2Faws4_request" in url


@pytest.mark.parametrize(
    ("at", "region", "version"),
    [("cloud-temple/fr1", "fr1", "AWSAccessKeyId=a"), ("clever-cloud/par", "default", "%2Fdefault%2Fs3%2F")],
)
def test_two_that_sign_in_their_own_way(opened, at: str, region: str, version: str):
    place, store = opened(at)
    assert place.binding.region == region
    assert version in store.presign("k", expires=timedelta(minutes=1))
    store.close()


@pytest.mark.parametrize(
    ("at", "host", "authority"),
    [
        ("bleu/bleufrancecentral", "acme.blob.core.sovcloud-api.fr", "login.sovcloud-identity.fr"),
        ("delos/delos-de", "acme.blob.core.sovcloud-api.de", "login.sovcloud-identity.de"),
        ("azure/francecentral", "acme.blob.core.windows.net", "login.microsoftonline.com"),
    ],
)
def test_microsoft_s_technology_is_reached_on_its_operator_s_domain(opened, at: str, host: str, authority: str):
    place, store = opened(at)
    assert place.binding.hosts == {host, authority}
    assert urlsplit(store.presign("k", expires=timedelta(minutes=1))).netloc == host
    store.close()
    elsewhere = replace(
        place.binding, endpoint="https://acme.blob.core.example.net", credentials=Credentials({"access_key": "YQ=="})
    )
    with pytest.raises(ConfigError):
        find_adapter("azure")(elsewhere)


def test_five_terabytes_fit_into_the_parts_of_every_store(opened):
    for at in BOUND:
        _, store = opened(at)
        limits = store.limits
        store.close()
        assert (limits.parts_max - 1) * limits.part_max > SIZE_MAX, at


@pytest.mark.parametrize("at", UNBOUND)
def test_what_has_to_be_bound_says_how(at: str):
    with pytest.raises(ConfigError) as told:
        place_of(configured(at), KNOWN)
    message = str(told.value)
    assert message.startswith(f"`{at}` cannot be opened yet: ")
    assert f"\n  {at}: {{binding: {{adapter: " in message
    assert (
        'endpoint: "https://…", attestation: …,\n    accept_relaxation: {owner: you@example.org, reason: "…"}}}'
        in message
    )


def test_the_words_for_oodrive():
    with pytest.raises(ConfigError) as told:
        place_of(configured("oodrive/fr"), KNOWN)
    assert str(told.value) == (
        "`oodrive/fr` cannot be opened yet: Oodrive publishes no storage API; your contract names a WebDAV, SFTP or S3 "
        "access: give the endpoint of the WebDAV or S3 one (nothing here speaks SFTP). Bind it in the configuration's "
        "`overlay`:\n"
        '  oodrive/fr: {binding: {adapter: webdav, endpoint: "https://…", attestation: …,\n'
        '    accept_relaxation: {owner: you@example.org, reason: "…"}}}'
    )


# --- another way to the same place


@pytest.mark.parametrize(
    ("at", "endpoint", "region", "hosts"),
    [
        (
            "ovhcloud/gra",
            "https://storage.gra.cloud.ovh.net",
            "GRA",
            {"auth.cloud.ovh.net", "storage.gra.cloud.ovh.net"},
        ),
        (
            "infomaniak/dc4-a",
            "https://s3.pub2.infomaniak.cloud",
            "dc4-a",
            {"api.pub1.infomaniak.cloud", "s3.pub2.infomaniak.cloud"},
        ),
    ],
)
def test_swift_is_another_way_to_the_same_place(at: str, endpoint: str, region: str, hosts: set[str]):
    place, usual = place_of(configured(at, adapter="swift"), KNOWN), place_of(configured(at), KNOWN)
    assert (place.adapter, place.binding.endpoint, place.binding.region) == ("swift", endpoint, region)
    assert place.binding.hosts == hosts
    assert place.target == usual.target
    secrets = Credentials({"username": "u", "password": "p", "project_id": "1"})
    find_adapter("swift")(replace(place.binding, credentials=secrets)).close()
    assert usual.adapter == "s3"
    assert place_of(configured(at, adapter="s3"), KNOWN).binding == usual.binding


@pytest.mark.parametrize(
    ("at", "adapter", "said"),
    [
        ("ovhcloud/eu-west-par", "swift", "it can be by `s3`"),
        ("ovhcloud/gra", "webdav", "it can be by `s3`, `swift`"),
        ("oodrive/fr", "webdav", "Oodrive publishes no storage API"),
    ],
)
def test_a_way_that_is_not_known(at: str, adapter: str, said: str):
    with pytest.raises(ConfigError, match=f"`{at}` cannot be reached by the adapter `{adapter}`; {said}"):
        place_of(configured(at, adapter=adapter), KNOWN)


def test_an_emulator_is_reached_alone_whatever_the_service_has_beside_its_endpoint():
    target = configured("ovhcloud/gra", adapter="swift", endpoint="http://127.0.0.1:5000/v3", emulated=True)
    assert place_of(target, KNOWN).binding.hosts == {"127.0.0.1:5000"}


# --- the configuration's own words


def told(text: str, tmp_path) -> str:
    with pytest.raises(ConfigError) as error:
        parse_config(f"sovbroker: 1\n{text}", file=tmp_path / "sovbroker.yaml")
    return str(error.value)


def test_the_overlay_is_beside_the_configuration(tmp_path):
    targets = "targets: [{at: oodrive/fr, bucket: b, adapter: webdav, emulated: true}]"
    config = parse_config(f"sovbroker: 1\noverlay: over/facts.yaml\n{targets}\n", file=tmp_path / "sovbroker.yaml")
    assert config.overlay == tmp_path / "over" / "facts.yaml"
    assert config.targets[0].adapter == "webdav"


def test_without_an_overlay_an_emulator_needs_its_address(tmp_path):
    assert "needs an `endpoint`" in told("targets: [{at: oodrive/fr, bucket: b, emulated: true}]\n", tmp_path)


def test_a_folder_has_no_adapter_to_choose(tmp_path):
    assert "SF007" in told("targets: [{at: local, path: b, adapter: s3}]\n", tmp_path)
