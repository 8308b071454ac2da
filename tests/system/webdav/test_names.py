"""Hidden names at a WebDAV server and at S3: found again when the state is lost, whatever the store makes of them."""

from __future__ import annotations

import pytest

from sovbroker.errors import InvalidArgument
from sovbroker.guard import Permit
from sovbroker.objects import Folder

KEYS = ["secret/a", "secret/a/b", "secret/Été/ü", "secret/été/x", "secret/" + "n" * 140 + "/x", "secret/😀"]
ALL = [*KEYS, "internal/Kept.part", "public/a/b", "public/a"]


def told(broker, prefix="", delimiter=None):
    return [i.prefix if isinstance(i, Folder) else i.key for i in broker.list(prefix, delimiter=delimiter)]


@pytest.mark.parametrize("label", [None, "both"])
def test_every_name_comes_back_and_is_listed_as_before(home, label):
    broker = home.open()
    for number, key in enumerate(ALL):
        broker.put(key, key.encode(), label=label, metadata={"much": "m" * 3000} if number % 2 else None)
    asked = [(p, d) for p in ("", "secret/", "secret/a", "public/", "internal/K") for d in (None, "/")]
    before = {own: told(broker, *own) for own in asked}
    infos = [info.to_dict() for info in broker.list()]
    assert len(before["", None]) == len(ALL)
    assert b"nnnn" not in home.bytes()
    broker.close()
    for file in home.path.glob("state.db*"):
        file.unlink()
    again = home.open()
    assert told(again) == []
    outcome = again.reindex()
    assert (outcome.rebuilt, outcome.odd) == (len(ALL), ())
    assert {own: told(again, *own) for own in asked} == before
    assert [info.to_dict() for info in again.list()] == infos
    assert all(again.read(key) == key.encode() for key in ALL)


def test_a_body_without_its_sidecar_is_unfinished_and_the_rest_comes_back(home):
    broker = home.open()
    for key in ("public/a", "internal/a", "secret/a"):
        broker.put(key, b"x")
    (copy,) = broker._flow.index.current("public/a").copies
    broker._flow.stores.guarded(copy.target, Permit.READ).delete(copy.sidecar)
    broker.close()
    for file in home.path.glob("state.db*"):
        file.unlink()
    again = home.open()
    outcome = again.reindex()
    assert (outcome.rebuilt, [odd.oddity.value for odd in outcome.odd]) == (2, ["unfinished"])
    assert told(again) == ["internal/a", "secret/a"]


def test_a_sidecar_of_another_object_is_found_out(home):
    broker = home.open()
    for key in ("internal/a", "internal/b"):
        broker.put(key, b"x")
    one, two = (path for path in home.files() if path.name.endswith("~"))
    two.write_bytes(one.read_bytes())
    broker.close()
    for file in home.path.glob("state.db*"):
        file.unlink()
    again = home.open()
    outcome = again.reindex()
    assert (outcome.rebuilt, [odd.oddity.value for odd in outcome.odd]) == (1, ["damaged"])


def test_a_name_that_is_too_long_is_refused_before_anything_is_sent(home):
    broker = home.open()
    with pytest.raises(InvalidArgument, match="as a name at oodrive/fr, which allows 1024"):
        broker.put("secret/" + "/".join(["n" * 100] * 6), b"x")
    with pytest.raises(InvalidArgument, match=r"cannot be hidden at oodrive/fr: the segment .* at most 143"):
        broker.put("secret/" + "n" * 144, b"x")
    assert home.files() == []
    assert broker.leftovers() == []
