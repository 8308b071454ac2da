"""What Clever Cloud is asked, by whom, and what comes of each answer."""

import dataclasses
import logging
import pickle

import pytest
from clever_cloud.auth import OAuthCredentials

from sovbroker.errors import (
    ConfigError,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)
from sovbroker.machines import ComputeFeature, ImageSource, Launch
from sovbroker.ports import Credentials, Support
from sovbroker.testing.chaos import ChaosProxy, Reset, Status
from sovbroker.testing.clevercloud import IMAGE, OWNER, SECRETS, CleverCloudService
from sovbroker.testing.contracts import Said
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.clevercloud import build
from sovbroker_adapters.clevercloud.signing import signed

LAUNCH = Launch("token-1", "one", "XS", IMAGE, tags={"sovbroker-launch": "token-1"})
APPS = f"/v2/organisations/{OWNER}/applications"


@pytest.fixture
def service():
    with CleverCloudService() as running:
        yield running


@pytest.fixture
def proxy(service):
    with ChaosProxy(service.host) as running:
        yield running


@pytest.fixture
def opened(service):
    """A function that opens the organisation at a server, with changes of the binding."""
    made = []

    def make(host=service.host, **changes):
        binding = dataclasses.replace(service.binding(), endpoint=f"http://{host}/v2", hosts=frozenset({host}))
        made.append(build(dataclasses.replace(binding, **changes)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://api.clever-cloud.com/v2/self"),
        ("POST", "https://API.clever-cloud.com:443/v2/organisations/orga_1/applications"),
        ("DELETE", "http://127.0.0.1:8080/v2/a%20b/~c?z=1&a=%C3%A9+f&a="),
    ],
)
def test_signatures_are_those_of_the_providers_sdk(method, url):
    theirs = OAuthCredentials(
        consumer_key="a key/é", consumer_secret="one&secret", token="a=token", secret="another secret~"
    )
    secrets = {
        "consumer_key": "a key/é",
        "consumer_secret": "one&secret",
        "token": "a=token",
        "token_secret": "another secret~",
    }
    expected = theirs.get_authorization_header(method, url, timestamp=1700000000, nonce="n-1")
    assert signed(method, url, secrets, stamp=1700000000, nonce="n-1") == expected


def test_a_wrong_secret_is_found_out(opened):
    with pytest.raises(PermissionDenied, match="the signature is wrong"):
        opened(credentials=Credentials({**SECRETS, "token_secret": "another"})).machines()


def test_no_secret_is_ever_sent(service, opened, caplog):
    caplog.set_level(logging.DEBUG)
    with Recorder() as recorder:
        opened(recorder.in_front_of("api", service.host).removeprefix("http://")).launch(LAUNCH)
        for secret in (b"not-a-secret", b"no-secret-either"):
            assert recorder.saw(secret) == []
            assert secret.decode() not in caplog.text


def test_an_application_that_cannot_be_deployed_is_destroyed(service, opened, proxy):
    compute = opened(proxy.host)
    # Runtimes, the application, it and its variables; then the deployment.
    proxy.script(None, None, None, None, Status(503))
    with pytest.raises(Unavailable):
        compute.launch(LAUNCH)
    assert service.applications == {}
    assert service.asked.total() > 0


@pytest.mark.parametrize("said", [{"type": "error", "message": "no room"}, {"message": "yes"}, {}, [], None])
def test_a_deployment_that_was_not_confirmed_raises(service, opened, said):
    service.refuse[f"POST {APPS}/"] = Said(200, said)
    with pytest.raises(Unavailable):
        opened().launch(LAUNCH)
    assert service.applications == {}


def test_a_launch_is_never_sent_twice(service, opened, proxy):
    compute = opened(proxy.host)
    proxy.script(None, Reset())
    with pytest.raises(Unavailable):
        compute.launch(LAUNCH)
    assert service.asked[f"POST {APPS}"] == 1
    (found,) = compute.machines()
    assert found.tags == LAUNCH.tags


@pytest.mark.parametrize("said", [{"type": "error", "message": "no"}, {"message": "yes"}, {}, [], None])
def test_a_destruction_that_was_not_confirmed_raises(service, opened, said):
    compute = opened()
    made = compute.launch(LAUNCH)
    service.refuse["DELETE"] = Said(200, said)
    with pytest.raises(Unavailable):
        compute.destroy(made.id)
    service.refuse["DELETE"] = Said(200, {"type": "success"})
    with pytest.raises(Unavailable, match="still there"):
        compute.destroy(made.id)


def test_a_404_is_no_application_gone(service, opened):
    compute = opened(settings={"repository": "https://git.example/a", "attempts": 1})
    made = compute.launch(LAUNCH)
    for act in (compute.machine, compute.destroy, compute.reboot):
        service.refuse[f"GET {APPS}"] = Said(404, {"type": "error", "message": "no"})
        with pytest.raises(StoreError) as caught:
            act(made.id)
        assert not isinstance(caught.value, NotFound)


def test_another_zones_applications_are_not_ours(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    service.applications[made.id]["zone"] = "rbx"
    assert compute.machines() == []
    assert [one.id for one in opened(region="rbx").machines()] == [made.id]


@pytest.mark.parametrize("told", ["", "no json", "[]", "null"])
def test_variables_of_somebody_else_are_no_tags(service, opened, told):
    compute = opened()
    made = compute.launch(LAUNCH)
    service.env[made.id] = {"SOVBROKER_TAGS": told}
    assert compute.machine(made.id).tags == {}


def test_what_an_application_lacks_is_absent(opened):
    compute = opened()
    usable = {feature for feature, support in compute.capabilities.items() if support is not Support.ABSENT}
    assert usable == {ComputeFeature.TAGS, ComputeFeature.REBOOT}
    for more in ({"user_data": b"#!/bin/sh"}, {"key": "a"}, {"attested": "tdx"}):
        with pytest.raises(NotSupported):
            compute.launch(dataclasses.replace(LAUNCH, **more))
    with pytest.raises(InvalidArgument, match="no owner"):
        compute.images(ImageSource("somebody", "*"))


def test_runtimes_and_flavors_that_are_gone_are_not_offered(opened):
    assert [image.id for image in opened().images(ImageSource("", "*"))] == [IMAGE]
    assert {size.id for size in opened().sizes()} == {"XS", "S", "M"}


def test_another_organisation_is_no_canary(service, opened):
    service.refuse[f"GET /v2/organisations/{OWNER}"] = Said(200, {"id": "orga_another"})
    assert opened().visibility().canary == ""
    assert opened().visibility().canary == f"organisation {OWNER}"


@pytest.mark.parametrize("hosts", [{"elsewhere.example"}, {"127.0.0.1"}, {"127.0.0.1:1"}, {"localhost"}])
def test_nothing_is_sent_to_another_host(service, opened, hosts):
    compute = opened(hosts=frozenset(hosts))
    for call in (compute.machines, lambda: compute.launch(LAUNCH), lambda: compute.destroy("a")):
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            call()
    assert service.asked.total() == 0


def test_redirects_are_not_followed(opened, proxy, service):
    with ChaosProxy(service.host) as elsewhere:
        proxy.always(Status(307, b"", (("Location", f"{elsewhere.url}{APPS}"),)))
        with pytest.raises(StoreError, match="307"):
            opened(proxy.host).machines()
        assert elsewhere.seen == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"container": "somebody"}, "`somebody`"),
        ({"region": None}, "zone"),
        ({"hosts": frozenset()}, "hosts"),
        ({"endpoint": "http://api.example/v2"}, "https://"),
        ({"credentials": Credentials({"token": "x"})}, "`consumer_key`, `consumer_secret`, `token_secret`"),
        ({"settings": {}}, "`repository`"),
        ({"settings": {"repository": "http://git.example/a"}}, "`repository`"),
        ({"settings": {"zones": "a"}}, "`zones`"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(opened, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        opened(**changes)
    assert "not-a-secret" not in str(caught.value)


def test_a_missing_library_names_its_extra(service, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("sovbroker_adapters.clevercloud.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[clever-cloud\]'"):
        build(service.binding())


def test_secrets_are_neither_shown_nor_pickled(service, opened):
    compute = opened()
    assert service.asked.total() == 0
    assert "secret" not in repr(compute) + repr(compute._connection)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(compute._connection)


def test_what_goes_while_it_is_listed_is_gone(service, opened, monkeypatch):
    """A list and what stands beside each of it are several calls; the list alone tells what is gone."""
    compute = opened()
    made, stays = compute.launch(LAUNCH), compute.launch(dataclasses.replace(LAUNCH, token="token-2", name="two"))
    real = service._found

    def gone(asked):
        if asked.parts["application"] == made.id:
            service.applications.pop(made.id, None)
        return real(asked)

    monkeypatch.setattr(service, "_found", gone)
    assert [one.id for one in compute.machines()] == [stays.id]
    with pytest.raises(NotFound):
        compute.machine(made.id)

    # Of one that is there, no answer is none.
    def refuse(asked):
        return real(dataclasses.replace(asked, parts={**asked.parts, "application": "nothing"}))

    monkeypatch.setattr(service, "_found", refuse)
    with pytest.raises(StoreError, match="404"):
        compute.machines()
