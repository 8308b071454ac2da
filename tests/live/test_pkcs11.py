"""The suite on SoftHSM, a security module in software."""

import itertools
import logging
import os
import subprocess
import traceback

import pkcs11
import pytest

from sovbroker.errors import KeyUnavailable, SealError
from sovbroker.ports import Credentials, KeyBinding
from sovbroker.testing.conformance.keyservices import KeyServiceSuite
from sovbroker.testing.recorder import traces
from sovbroker_adapters.pkcs11 import build

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "2718-2818"

numbers = itertools.count()


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """A token in a folder of its own, for as long as this process lives: a module is loaded once."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    words = ["--init-token", "--free", "--label", "tests", "--so-pin", "3141-5926", "--pin", PIN]
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)
    return folder / "tokens"


def administered(change):
    """Do something to the token as its owner."""
    with pkcs11.lib(MODULE).get_token(token_label="tests").open(rw=True, user_pin=PIN) as session:
        return change(session)


def keyed(session, name):
    return session.get_key(label=name, object_class=pkcs11.ObjectClass.SECRET_KEY)


class TestPkcs11(KeyServiceSuite):
    # A module is a library in this process: there is no way to it that could be cut, silent or slow.
    powers = ("disable", "destroy")
    test_a_slow_answer_is_waited_for = None

    @pytest.fixture
    def opened(self, token):
        made = []

        def make(key, pin=PIN):
            settings = {"module": MODULE, "token": "tests"}
            made.append(build(KeyBinding(key, key, credentials=Credentials({"pin": pin}), settings=settings)))
            return made[-1]

        yield make
        for each in made:
            each.close()

    @pytest.fixture
    def make_key(self, token):
        def make():
            name = f"key-{next(numbers)}"
            with pkcs11.lib(MODULE).get_token(token_label="tests").open(rw=True, user_pin=PIN) as session:
                session.generate_key(
                    pkcs11.KeyType.AES,
                    256,
                    label=name,
                    store=True,
                    capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                )
            return name

        return make

    @pytest.fixture
    def key(self, make_key):
        return make_key()

    @pytest.fixture
    def service(self, opened, key):
        return opened(key)

    @pytest.fixture
    def again(self, opened, key):
        return opened(key)

    @pytest.fixture
    def other(self, opened, make_key):
        return opened(make_key())

    @pytest.fixture
    def power(self, token, key):
        def may(*, it):
            def change(session):
                for use in (pkcs11.Attribute.ENCRYPT, pkcs11.Attribute.DECRYPT):
                    keyed(session, key)[use] = it

            administered(change)

        def disable():
            may(it=False)
            return lambda: may(it=True)

        return {"destroy": lambda: administered(lambda s: keyed(s, key).destroy()), "disable": disable}.__getitem__

    def test_the_pin_is_told_nowhere(self, opened, key, caplog):
        """Neither in a log, nor in what is printed of a failure, its causes included."""
        with caplog.at_level(logging.DEBUG):
            told = [repr(opened(key)), str(opened(key))]
            wrapped = opened(key).wrap(b"secret", b"context")
            for service, context in ((opened(key), b"another"), (opened("no-such-key"), b"context")):
                with pytest.raises(SealError) as caught:
                    service.unwrap(wrapped, context)
                told += traceback.format_exception(caught.value)
            with pytest.raises(KeyUnavailable) as caught:
                opened(key, pin=PIN[::-1]).unwrap(wrapped, b"context")
            told += traceback.format_exception(caught.value)
        heap = "\n".join((caplog.text, *told)).encode()
        assert b"the pin is wrong" in heap
        for pin in (PIN, PIN[::-1]):
            assert traces(pin.encode(), heap) == []

    def test_a_wrong_pin_opens_nothing(self, opened, key):
        with pytest.raises(KeyUnavailable, match="the pin is wrong"):
            opened(key, pin="0000-0000").wrap(b"secret", b"context")
