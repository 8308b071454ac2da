from sovbroker.detect.distinct import KEPT, Distinct


def test_the_same_value_counts_once():
    distinct = Distinct()
    for value in (b"a", b"b", b"a", b"a", b"b"):
        distinct.add(value)
    assert distinct.count == 2


def test_beyond_what_is_kept_the_count_goes_on_and_never_down():
    distinct = Distinct()
    for number in range(KEPT + 10):
        distinct.add(b"%d" % number)
    assert distinct.count == KEPT + 10
    assert len(distinct._kept) == KEPT
    distinct.add(b"0")
    assert distinct.count == KEPT + 10
    distinct.add(b"%d" % (KEPT + 5))
    assert distinct.count == KEPT + 11


def test_no_value_is_kept():
    distinct = Distinct()
    distinct.add(b"295109912611193")
    assert all(b"2951" not in kept and len(kept) == 8 for kept in distinct._kept)
