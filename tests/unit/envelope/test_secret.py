import base64
import copy
import json
import logging
import pickle
import threading
import traceback

import pytest

from sovbroker.envelope import Sealer, Secret, new_dek
from sovbroker.errors import InvalidArgument, KeyUnavailable

DATA = bytes(range(200, 232))
SPELLINGS = [DATA.hex(), base64.b64encode(DATA).decode(), base64.urlsafe_b64encode(DATA).decode(), repr(DATA)[2:-1]]


def assert_hidden(text):
    for spelling in SPELLINGS:
        assert spelling not in text
        assert spelling[:12] not in text


def test_no_way_of_printing_tells_it(caplog):
    secret = Secret(DATA)
    logging.getLogger("x").warning("%s %r", secret, secret)
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>80}", "%s" % secret, repr([secret]), caplog.text):  # noqa: UP031 - one of the ways
        assert_hidden(text)
        assert "secret" in text
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_a_traceback_with_locals_does_not_tell_it():
    def fail(key):
        raise ValueError("no")

    try:
        fail(Secret(DATA))
    except ValueError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "key = <secret>" in text
    assert_hidden(text)


def test_it_does_not_travel():
    for travel in (copy.copy, copy.deepcopy, pickle.dumps, lambda s: pickle.dumps({"a": [s]}, protocol=0)):
        with pytest.raises(TypeError, match="pickled or copied"):
            travel(Secret(DATA))
    assert not hasattr(Secret(DATA), "__dict__")


def test_it_compares_and_does_not_hash():
    assert Secret(DATA) == Secret(bytearray(DATA))
    assert Secret(DATA) != Secret(DATA[:-1] + b"x")
    assert Secret(DATA) != DATA
    assert len(Secret(DATA)) == 32
    with pytest.raises(TypeError):
        hash(Secret(DATA))


def test_a_wiped_secret_is_gone():
    secret = Secret(DATA)
    held = secret._data
    assert secret.reveal() == DATA
    secret.wipe()
    secret.wipe()
    assert not any(held)
    with pytest.raises(KeyUnavailable, match="wiped"):
        secret.reveal()
    with pytest.raises(KeyUnavailable):
        _ = secret == Secret(DATA)


def test_it_is_wiped_when_nobody_holds_it():
    secret = Secret(DATA)
    held = secret._data
    del secret
    assert not any(held)


def test_a_wipe_while_others_read_never_gives_zeros():
    for _ in range(50):
        secret = Secret(DATA)
        seen = []

        def read(secret=secret, seen=seen):
            for _ in range(200):
                try:
                    seen.append(secret.reveal())
                except KeyUnavailable:
                    return

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        secret.wipe()
        for thread in threads:
            thread.join()
        assert set(seen) <= {DATA}


def test_keys_are_random():
    assert len({new_dek().reveal() for _ in range(100)}) == 100
    assert len(new_dek()) == 32


def test_wrong_sizes_do_not_tell_the_key(context):
    with pytest.raises(InvalidArgument) as caught:
        Sealer(DATA + b"x", context)
    assert_hidden(str(caught.value))
