from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.policy.mode import CLEAR, Encrypt, Mode, Names, minimal

modes = st.builds(
    Mode,
    st.sampled_from(Encrypt),
    st.sampled_from(Names),
    st.frozensets(st.sampled_from(["fr", "eea", "ch"])),
)


@settings(max_examples=200, deadline=None)
@given(modes, modes, modes)
def test_modes_are_a_lattice(a, b, c):
    assert a | a == a
    assert a | b == b | a
    assert (a | b) | c == a | (b | c)
    assert a <= (a | b)
    assert (a <= b) == (a | b == b)
    assert a | CLEAR == a
    if a <= c and b <= c:
        assert (a | b) <= c


@settings(max_examples=200, deadline=None)
@given(st.lists(modes, max_size=6))
def test_minimal_elements_are_below_everything_and_not_below_one_another(found):
    least = minimal(found)
    assert all(any(low <= mode for low in least) for mode in found)
    assert not any(a != b and a <= b for a in least for b in least)
    assert set(least) <= set(found)
    assert list(least) == sorted(least, key=lambda mode: mode.rank)


def test_a_mode_says_what_it_is():
    assert str(CLEAR) == "clear"
    assert str(Mode(Encrypt.CLIENT)) == "sealed"
    full = Mode(Encrypt.CLIENT, Names.ENCRYPT, frozenset({"fr", "eea"}))
    assert str(full) == "sealed, names hidden, keys in eea and fr"
    assert full.sealed
    assert full.names_encrypted
    assert full.to_dict() == {"encrypt": "client", "names": "encrypt", "keys": ["eea", "fr"]}
