"""Valid values, made with another library's check digits, are found as people write them, wherever they stand."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import iban, luhn, numdb
from stdnum.fr import nir, siren, siret

from sovbroker.detect import known, names, scan
from sovbroker.detect.checks import is_card, is_nir, is_rpps, is_siren, is_siret
from sovbroker.detect.emails import Emails
from sovbroker.detect.ibans import COUNTRIES, is_iban
from sovbroker.detect.numbers import NUMBERS, Numbers
from sovbroker.detect.reader import Reader

SEPARATORS = [" ", ".", "-", "\u00a0", "\u202f"]
# Text between which and a number nothing is shared; the ends of what may stand around it.
BOUNDARIES = [b"\n", b";", b'"', b",", b">", b"(", b":", b"\t", b"=", b"'", b"|", b"]", "°".encode(), b"\\n"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


def with_luhn(body: str) -> str:
    return body + luhn.calc_check_digit(body)


def _nir(sex: str, year: str, month: int, place: str, order: str) -> str:
    body = f"{sex}{year}{month:02}{place}{order}"
    return body + nir.calc_check_digits(body + "00")


PLACES = st.one_of(
    st.builds("{:02}{}".format, st.integers(1, 99), digits(3)),
    st.builds("2{}{}".format, st.sampled_from("AB"), digits(3)),
)
NIRS = st.builds(
    _nir, st.sampled_from("123478"), digits(2), st.sampled_from([*range(1, 13), 20, 30, 42, 50, 99]), PLACES, digits(3)
)
SIRENS = digits(8).map(with_luhn).filter(lambda value: int(value) > 0)
SIRETS = st.builds("{}{}".format, SIRENS, digits(4)).map(with_luhn)
RPPS = digits(9).map("1{}".format).map(with_luhn)


@st.composite
def _ibans(draw: st.DrawFn) -> str:
    country = draw(st.sampled_from(sorted(COUNTRIES)))
    alphabets = {"n": "0123456789", "a": LETTERS, "c": LETTERS + "0123456789"}
    account = "".join(
        draw(st.text(alphabets[kind], min_size=int(count), max_size=int(count))) for count, kind in COUNTRIES[country]
    )
    check = iban.calc_check_digits(f"{country}00{account}")
    return f"{country}{check}{account}"


IBANS = _ibans()


@st.composite
def _cards(draw: st.DrawFn) -> str:
    prefix, length = draw(
        st.sampled_from([("4", 13), ("4", 16), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16)])
        | st.sampled_from([("34", 15), ("37", 15), ("300", 14), ("36", 14), ("3528", 16), ("3589", 16), ("6011", 16)])
        | st.sampled_from([("62", 17), ("65", 16), ("6759", 18), ("2200", 16), ("81", 16), ("5018", 13)])
    )
    return with_luhn(prefix + draw(digits(length - len(prefix) - 1)))


CARDS = _cards()
EMAILS = st.builds(
    "{}@{}.{}".format,
    st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,40}[a-z0-9]", fullmatch=True),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,10}){0,2}", fullmatch=True),
    st.sampled_from(["fr", "org", "example", "xn--p1ai", "museum"]),
)


def grouped(value: str, sizes: list[int], separator: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(value[at : at + size])
        at += size
    assert at == len(value)
    return separator.join(parts)


@st.composite
def _written(draw: st.DrawFn) -> tuple[str, str]:
    """Return a detector and a valid value as people write it."""
    name, values, layouts = draw(
        st.sampled_from(
            [
                ("fr.nir", NIRS, [[1, 2, 2, 2, 3, 3, 2], [13, 2], [1, 12, 2], [1, 2, 2, 5, 3, 2]]),
                ("fr.siren", SIRENS, [[3, 3, 3]]),
                ("fr.siret", SIRETS, [[3, 3, 3, 5], [9, 5]]),
                ("fr.rpps", RPPS, [[2, 3, 3, 3]]),
                ("iban", IBANS, []),
                ("payment-card", CARDS, []),
                ("email", EMAILS, []),
            ]
        )
    )
    value = draw(values)
    separator = draw(st.sampled_from(SEPARATORS))
    if name == "iban":
        layouts = [[4] * (len(value) // 4) + [len(value) % 4] * (len(value) % 4 > 0)]
    if name == "payment-card" and len(value) in {15, 16}:
        layouts = [[4, 4, 4, 4] if len(value) == 16 else [4, 6, 5]]
    layout = draw(st.sampled_from([None, *layouts]))
    return name, value if layout is None else grouped(value, layout, separator)


WRITTEN = _written()


def counts(text: str | bytes) -> dict[str, int]:
    """Return what is found, without what is not."""
    data = text.encode() if isinstance(text, str) else text
    return {name: count for name, count in scan(data, names()).counts.items() if count}


VALID = [
    ("fr.nir", "295109912611193"),
    ("fr.nir", "2 95 10 99 126 111 93"),
    ("fr.nir", "2 95 10 99 126 111 - 93"),
    ("fr.nir", "2951099126111/93"),
    ("fr.nir", "253072B07300470"),
    ("fr.nir", "2 53 07 2B 073 004 70"),
    ("fr.nir", "253072a07300443"),
    ("fr.nir", "2.95.10.99.126.111.93"),
    ("fr.siren", "732829320"),
    ("fr.siren", "732 829 320"),
    ("fr.siren", "552.008.443"),
    ("fr.siren", "356000000"),
    ("fr.siret", "73282932000074"),
    ("fr.siret", "732 829 320 00074"),
    ("fr.siret", "732829320 00074"),
    ("fr.siret", "732 829 320 000 74"),
    ("fr.siret", "35600000000048"),  # La Poste: the head office has Luhn's digit,
    ("fr.siret", "35600000049837"),  # the others a sum that five divides
    ("iban", "FR7630006000011234567890189"),
    ("iban", "FR76 3000 6000 0112 3456 7890 189"),
    ("iban", "FR76 30006 00001 12345678901 89"),
    ("iban", "fr76 3000 6000 0112 3456 7890 189"),
    ("iban", "NO9386011117947"),
    ("iban", "MT84MALT011000012345MTLCAST001S"),
    ("iban", "GB82-WEST-1234-5698-7654-32"),
    ("fr.rpps", with_luhn("1000345678")),
    ("fr.rpps", "8" + with_luhn("1000345678")),
    ("payment-card", "4111111111111111"),
    ("payment-card", "4111 1111 1111 1111"),
    ("payment-card", "4111-1111-1111-1111"),
    ("payment-card", "4111.1111.1111.1111"),
    ("payment-card", "4222222222222"),
    ("payment-card", "5555555555554444"),
    ("payment-card", "2223003122003222"),
    ("payment-card", "378282246310005"),
    ("payment-card", "3782 822463 10005"),
    ("payment-card", "30569309025904"),
    ("payment-card", "3056 930902 5904"),
    ("payment-card", "3530111333300000"),
    ("payment-card", "6011000990139424"),
    ("payment-card", with_luhn("621234567890123456")),
    ("email", "jean.dupont+test@example.fr"),
    ("email", "JEAN@EXAMPLE.ORG"),
    ("email", "andré@société.fr"),
    ("email", "o'neil@mail.example.co.uk"),
    ("email", "x@xn--80ak6aa92e.xn--p1ai"),
]


@pytest.mark.parametrize(("name", "text"), VALID)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_value_is_found_in_every_encoding(name: str, text: str, encoding: str):
    assert counts(f"« {text} », \n".encode(encoding)) == {name: 1}


@pytest.mark.parametrize("space", ["\u00a0", "\u202f"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_spaces_that_do_not_break_stand_between_groups(space: str, encoding: str):
    text = "NIR 2 95 10 99 126 111 93, SIREN 732 829 320, IBAN FR76 3000 6000 0112 3456 7890 189".replace(" ", space)
    assert counts(text.encode(encoding)) == {"fr.nir": 1, "fr.siren": 1, "iban": 1}


@pytest.mark.parametrize(
    "space", ["\\u00a0", "\\u202F", "&nbsp;", "&#160;", "&#xA0;", "&#x00a0;", "&#8239;", "&#x202f;"]
)
@pytest.mark.parametrize(
    "text", ["2 95 10 99 126 111 93", "2 53 07 2A 073 004 43", "732 829 320", "GB82 WEST 1234 5698 7654 32"]
)
def test_json_and_xml_write_such_spaces_out(space: str, text: str):
    expected = counts(text)
    assert len(expected) == 1
    assert counts(f"id:{space}{text.replace(' ', space)}{space}.") == expected


@pytest.mark.parametrize(
    "text",
    [
        "295109912611194",  # the key
        "595109912611193",  # no such sex
        "295009912611190",  # no such month
        "295100012611189",  # no such department
        "253072C07300443",
        "732829321",
        "000000000",
        "73282932000075",
        "00000000000000",
        "35600000049838",
        "FR7630006000011234567890188",
        "FR76 3000 6000 0112 3456 7890 18",
        "ZZ7630006000011234567890189",
        "XFR7630006000011234567890189",
        "FR7630006000011234567890189X",
        with_luhn("3000345678"),  # the check digit of an RPPS number, not its beginning
        "4111111111111112",
        with_luhn("731111111111111"),  # no issuer
        with_luhn("41111111111111"),  # no length of that issuer
        with_luhn("411111111111"[:11]),
        "jean@localhost",
        "jean @example.org",
        "@example.org",
        "jean@example.1",
        "jean@.example",
    ],
)
def test_what_only_looks_like_one_is_not_found(text: str):
    assert counts(f"<{text}>") == {}


@pytest.mark.parametrize(("name", "text"), [each for each in VALID if each[0] != "email"])
@pytest.mark.parametrize(
    ("before", "after"), [("7", ""), ("", "7"), ("c", ""), ("fe", ""), ("", "c"), ("3.", ""), ("", ".25")]
)
def test_a_number_inside_a_longer_one_is_not_found(name: str, text: str, before: str, after: str):
    found = counts(f"<{before}{text}{after}>")
    if name == "iban" and "." in before + after:
        assert found == {"iban": 1}  # what begins with letters is no fraction
    else:
        assert name not in found


@pytest.mark.parametrize(
    "text", ["732829320.0", "732829320.", "732829320.00;", "x=%20732829320&", "N°732829320", "SIREN732829320"]
)
def test_what_spreadsheets_and_addresses_add_does_not_hide_a_number(text: str):
    assert counts(text) == {"fr.siren": 1}


def test_groups_of_three_that_go_on_are_an_amount():
    assert counts("732 829 320 111 euros") == {}
    assert counts("1 732 829 320 euros") == {}
    assert counts("75009 732 829 320 RCS") == {"fr.siren": 1}


def test_the_number_of_a_place_is_not_the_number_of_its_company_too():
    assert counts("732 829 320 00074") == {"fr.siret": 1}
    assert counts("732 829 320 00075") == {"fr.siren": 1}


@pytest.mark.parametrize("before", [0, 100, 200_000])
def test_the_groups_of_an_account_are_no_card(before: int):
    account = "41111111111111110000000"
    value = f"FR{iban.calc_check_digits('FR00' + account)}{account}"
    assert counts("4111 1111 1111 1111") == {"payment-card": 1}
    assert counts(" " * before + grouped(value, [4] * 6 + [3], " ")) == {"iban": 1}
    assert counts(" " * before + value) == {"iban": 1}


def test_a_kind_is_counted_alike_whatever_else_is_asked():
    text = "; ".join(text for _, text in VALID).encode()
    together = scan(text, names()).counts
    assert min(together.values()) > 0
    for name in names():
        assert scan(text, [name]).counts == {name: together[name]}
        detector = known()[name]()
        detector.feed(text)
        assert detector.finish() == together[name]


def test_values_are_counted_once_each():
    numbers = "732829320; 732 829 320; 732.829.320 552008443"
    people = "a@example.org A@EXAMPLE.ORG <a@example.org>. «a@example.org» b@example.org, 8{0} {0}".format(
        with_luhn("1000345678")
    )
    assert counts(f"{numbers} {people}") == {"fr.siren": 2, "email": 2, "fr.rpps": 1}


def test_numbers_that_follow_each_other_are_all_found():
    text = "4111 1111 1111 1111 12/26 295109912611193 15/10/1995 732829320 552008443"
    assert counts(text) == {"payment-card": 1, "fr.nir": 1, "fr.siren": 2}


@settings(max_examples=300, deadline=None)
@given(
    WRITTEN, st.binary(max_size=40), st.binary(max_size=40), st.sampled_from(BOUNDARIES), st.sampled_from(BOUNDARIES)
)
def test_a_value_is_found_in_any_surrounding(written, before: bytes, after: bytes, left: bytes, right: bytes):
    name, text = written
    if name == "email" and left == b"'":
        left = b" "
    assert counts(before + left + text.encode() + right + after).get(name, 0) >= 1


@settings(max_examples=200, deadline=None)
@given(
    WRITTEN,
    st.text("abcdefg xyz,;\n", max_size=30),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]),
    st.sampled_from(['{{"id": "{}"}}', "<id>{}</id>", "a;{};b", "a,{},b", "a\t{}\tb", "{}"]),
)
def test_a_value_is_found_in_files_of_every_kind(written, text: str, encoding: str, layout: str):
    name, value = written
    assert counts((text + "\n" + layout.format(value) + "\n" + text).encode(encoding)) == {name: 1} or (
        scan((layout.format(value)).encode(), [name]).counts[name] == 1  # digits can be of two kinds
    )


FRAGMENTS = st.one_of(
    st.sampled_from([text.encode() for _, text in VALID]),
    WRITTEN.map(lambda each: each[1].encode()),
    st.sampled_from([b" ", b"\n", b"", b"1", b"a", b".", b"\\u00a0", b"%20", b"@", b"\0", b"/ ", b"&nbsp;", b"\xc2"]),
    st.binary(max_size=5),
    st.integers(0, 700).map(lambda count: b"x" * count),
    st.integers(0, 200).map(lambda count: b"1 " * count),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAGMENTS, max_size=12), st.lists(st.integers(0, 60), max_size=30), st.integers(1, 40))
def test_no_cut_changes_what_is_found(fragments: list[bytes], cuts: list[int], block: int):
    data = b"".join(fragments)
    whole: list[Numbers | Emails] = [Numbers(NUMBERS), Emails(["email"])]
    cut: list[Numbers | Emails] = [Numbers(NUMBERS), Emails(["email"])]
    for sieves, size in ((whole, 1 << 16), (cut, block)):
        reader = Reader(sieves, block=size)
        rest = memoryview(data)
        for length in cuts:
            reader.feed(rest[:length])
            rest = rest[length:]
        reader.feed(rest)
        reader.finish()
    for one, other in zip(whole, cut, strict=True):
        assert {name: each.count for name, each in one.found.items()} == {
            name: each.count for name, each in other.found.items()
        }
        assert one.tried == other.tried


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_a_detector_raise(data: bytes):
    found = scan(data, names())
    assert found.complete
    assert set(found.counts) == set(names())


NEAR = st.text("0123456789", min_size=15, max_size=15)
MONTHS = {*range(1, 13), *range(20, 43), *range(50, 100)}


@settings(max_examples=500, deadline=None)
@given(NIRS | NEAR | PLACES.map("19512{}".format).flatmap(lambda head: digits(15 - len(head)).map(head.__add__)))
def test_a_nir_is_what_another_library_calls_one_and_plausible(value: str):
    plausible = value[0] in "123478" and int(value[3:5]) in MONTHS and value[5:7] != "00"
    assert is_nir(value.encode()) == (nir.is_valid(value) and plausible)


@settings(max_examples=500, deadline=None)
@given(SIRENS | digits(9))
def test_a_siren_is_what_another_library_calls_one_but_not_zero(value: str):
    assert is_siren(value.encode()) == (siren.is_valid(value) and int(value) > 0)


@settings(max_examples=500, deadline=None)
@given(SIRETS | digits(14) | st.builds("{}{}".format, SIRENS | st.just("356000000"), digits(5)))
def test_a_siret_is_what_another_library_calls_one_and_la_poste_may_have_either_digit(value: str):
    expected = siret.is_valid(value) or (value.startswith("356000000") and luhn.is_valid(value))
    assert is_siret(value.encode()) == (expected and int(value[:9]) > 0)


@settings(max_examples=500, deadline=None)
@given(RPPS | digits(11))
def test_an_rpps_number_begins_with_1_and_has_luhns_digit(value: str):
    assert is_rpps(value.encode()) == (luhn.is_valid(value) and value[0] == "1")


@settings(max_examples=500, deadline=None)
@given(CARDS | st.integers(12, 20).flatmap(digits))
def test_a_card_has_luhns_digit(value: str):
    assert not is_card(value.encode()) or (luhn.is_valid(value) and 13 <= len(value) <= 19)


@settings(max_examples=300, deadline=None)
@given(CARDS)
def test_a_card_of_a_known_issuer_is_one(value: str):
    assert is_card(value.encode())
    assert not is_card(value[:-1].encode() + b"%d" % ((int(value[-1]) + 1) % 10))


@settings(max_examples=500, deadline=None)
@given(IBANS, st.integers(4, 14), st.sampled_from("0123456789" + LETTERS))
def test_an_iban_is_what_another_library_calls_one(value: str, place: int, letter: str):
    assert iban.is_valid(value, check_country=False)
    assert counts(f"<{value}>")["iban"] == 1
    changed = value[:place] + letter + value[place + 1 :]
    assert counts(f"<{changed}>").get("iban", 0) == iban.is_valid(changed, check_country=False)
    assert is_iban(value.encode())


def test_the_countries_are_those_of_the_register():
    register = numdb.get("iban")
    codes = [first + second for first in LETTERS for second in LETTERS]
    structures = {code: register.info(code)[0][1].get("bban") for code in codes}
    listed = {code: re.findall(r"([0-9]+)!([nac])", structure) for code, structure in structures.items() if structure}

    def flat(runs: list[tuple[str, str]]) -> str:
        return "".join(kind * int(count) for count, kind in runs)

    assert {code: flat(runs) for code, runs in COUNTRIES.items()} == {code: flat(runs) for code, runs in listed.items()}


@pytest.mark.parametrize(
    ("length", "inside", "outside"),
    [
        (13, "4 50 56 57 58 60 69", "55 59 71 2221 36"),
        (14, "300 305 3095 36 38 39 67", "306 3094 3096 35 4"),
        (15, "34 37", "33 4 2221"),
        (16, "4 51 55 2221 2229 2230 2299 2300 2699 2700 2719 2720 2200 2204 9792", "2220 2721 2205 2199 9791 34 37"),
        (16, "3528 3529 3530 3589 6011 62 65 81 82 36", "3527 3590 80 83 1 7 9 0"),
        (19, "4 62 3528 300 36", "51 2221 34 3527 306"),
    ],
)
def test_a_card_has_the_prefix_of_an_issuer_and_a_length_of_its_own(length: int, inside: str, outside: str):
    def made(prefix: str) -> bytes:
        return with_luhn(prefix.ljust(length - 1, "5")).encode()

    assert [prefix for prefix in inside.split() if not is_card(made(prefix))] == []
    assert [prefix for prefix in outside.split() if is_card(made(prefix))] == []
