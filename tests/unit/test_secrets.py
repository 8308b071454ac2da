"""Where secrets come from: they are found, or the error says what to do, and they are never shown."""

import pickle

import pytest

from sovbroker.errors import ConfigError
from sovbroker.secrets import CredentialSource, SecretSource


def test_an_environment_variable(monkeypatch):
    source = SecretSource(env="A_SECRET")
    with pytest.raises(ConfigError, match="`A_SECRET` is not set"):
        source.resolve()
    monkeypatch.setenv("A_SECRET", "value")
    assert source.resolve() == "value"


def test_a_private_file(tmp_path):
    path = tmp_path / "secret"
    source = SecretSource(file=path)
    with pytest.raises(ConfigError, match="cannot read"):
        source.resolve()
    path.write_text("value\nnot this\n")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        source.resolve()
    path.chmod(0o600)
    assert source.resolve() == "value"
    path.write_text("\n")
    with pytest.raises(ConfigError, match="empty"):
        source.resolve()
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot read"):
        source.resolve()


def test_credentials_of_a_prefix(monkeypatch):
    source = CredentialSource(env="CLOUD")
    monkeypatch.setenv("CLOUD_ACCESS_KEY", "a")
    with pytest.raises(ConfigError, match="CLOUD_SECRET_KEY"):
        source.resolve()
    monkeypatch.setenv("CLOUD_SECRET_KEY", "s")
    found = source.resolve()
    assert (found.get("access_key"), found.get("secret_key"), found.get("session_token")) == ("a", "s", None)
    monkeypatch.setenv("CLOUD_SESSION_TOKEN", "t")
    assert source.resolve().get("session_token") == "t"


def test_a_profile_and_single_secrets():
    assert CredentialSource(profile="acme").resolve().get("profile") == "acme"
    source = CredentialSource(single={"access_key": SecretSource(literal="hunter2")})
    assert source.resolve().get("access_key") == "hunter2"


def test_nothing_shows_a_secret():
    source = CredentialSource(single={"secret_key": SecretSource(literal="hunter2")})
    found = source.resolve()
    assert "hunter2" not in repr(source) + str(source) + repr(found) + str(found)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(found)


@pytest.mark.parametrize(
    ("adapter", "given", "missing"),
    [
        ("s3", {"ACCESS_KEY": "a"}, "X_SECRET_KEY"),
        ("s3", {}, "X_ACCESS_KEY"),
        ("azure", {"SECRET_KEY": "s"}, "X_ACCESS_KEY"),
        ("gcs", {}, "X_SERVICE_ACCOUNT"),
        ("webdav", {"USERNAME": "u"}, "X_PASSWORD"),
        ("swift", {"USERNAME": "u"}, "X_PASSWORD"),
        ("swift", {"APPLICATION_CREDENTIAL_ID": "a"}, "X_USERNAME"),
    ],
)
def test_a_prefix_without_what_its_adapter_needs_names_the_variable(adapter, given, missing, monkeypatch):
    for name, value in given.items():
        monkeypatch.setenv(f"X_{name}", value)
    with pytest.raises(ConfigError, match=f"`{missing}` is not set"):
        CredentialSource(env="X").resolve(adapter)


@pytest.mark.parametrize(
    ("adapter", "given"),
    [
        ("s3", {"access_key": "a", "secret_key": "b"}),
        ("azure", {"access_key": "a", "account": "b"}),
        ("azure", {"sas": "a"}),
        ("webdav", {"token": "a"}),
    ],
)
def test_each_adapter_takes_its_own_names(adapter, given, monkeypatch):
    for name, value in given.items():
        monkeypatch.setenv(f"X_{name.upper()}", value)
    found = CredentialSource(env="X").resolve(adapter)
    assert {name: found.get(name) for name in given} == given


def test_a_key_file_is_taken_whole(tmp_path):
    path = tmp_path / "key.json"
    path.write_text('{\n  "type": "service_account"\n}\n')
    path.chmod(0o600)
    source = CredentialSource(single={"service_account": SecretSource(file=path)})
    assert source.resolve("gcs").get("service_account") == path.read_text()
