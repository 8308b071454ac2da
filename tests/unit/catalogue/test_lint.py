"""Every mistake of a provider's file, planted once, is found with its code and place."""

from datetime import date
from pathlib import Path

import pytest

from sovbroker.catalogue import lint, load
from sovbroker.catalogue.provider import SCHEMES
from sovbroker.catalogue.rules import TITLES
from sovbroker.catalogue.schema import OFFERS
from sovbroker.errors import ConfigError

TODAY = date(2026, 11, 24)
SEEN = "evidence: {basis: verified, confidence: high, as_of: "
CT = "    evidence: {basis: verified, confidence: high, as_of: 2026-05-01, sources: [docs]}\n  - scheme: hds"
PRESS = "{basis: verified, confidence: high, as_of: 2026, sources: [press]}"
MISTAKES = {
    "an open bracket": ("SC001", "offers: [object-storage, compute, vmware]", "offers: [object-storage, "),
    "a key twice": ("SC002", "tier: eu-controlled", "tier: eu-controlled\ntier: extra-eu"),
    "an item twice": ("SC002", "regions: [lyon]", "regions: [lyon, lyon]"),
    "an unknown key": ("SC003", "    place: Oslo", "    plaice: Oslo\n    place: Oslo"),
    "no evidence": ("SC004", f"controlled: {{is: [FR], evidence: {PRESS}}}", "controlled: {is: [FR]}"),
    "no basis": ("SC004", PRESS, PRESS.replace("basis: verified, ", "")),
    "no date": ("SC004", PRESS, PRESS.replace("as_of: 2026, ", "")),
    "a text for a list": ("SC005", "{is: [FR], evidence", "{is: FR, evidence"),
    "no date at all": ("SC006", "since: 2025-03-01", "since: in spring"),
    "a day that is not": ("SC006", "since: 2025-03-01", "since: 2025-02-30"),
    "an unknown country": ("SC006", "country: FR", "country: XX"),
    "a group as a country": ("SC006", "{is: [FR], evidence", "{is: [EU], evidence"),
    "an unknown scheme": ("SC006", "scheme: hds", "scheme: hsd"),
    "a region with spaces": ("SC006", "  lyon: {country", '  "lyon / fr": {country'),
    "what the operator vouches for": ("SC006", PRESS, PRESS.replace("verified", "attested")),
    "no such offer": ("SC006", "    offers: [object-storage, vmware]", "    offers: [object-storage, vmwaer]"),
    "another schema": ("SC006", "sovbroker.catalogue/1", "sovbroker.catalogue/2"),
    "an unknown source": ("SC010", "sources: [press]", "sources: [docs, preß]"),
    "an unused source": ("SC011", "sources: [press]", "sources: [docs]"),
    "seen tomorrow": ("SC012", PRESS, PRESS.replace("2026", "2026-11-25")),
    "granted tomorrow": ("SC012", "since: 2025-03-01", "since: 2026-12"),
    "ended before it was seen": ("SC013", PRESS, PRESS.replace("2026", "2026, expires: 2025-06-01")),
    "ended when it was granted": ("SC013", CT, CT.replace("2026-05-01", "2025-01-01, expires: 2025-03-01", 1)),
    "verified by nobody": ("SC014", "as_of: 2026, sources: [press]}", "as_of: 2026}"),
    "verified, hardly": ("SC014", PRESS, PRESS.replace("high", "low")),
    "measured by nobody": ("SC014", PRESS, "{basis: measured, confidence: high, as_of: 2026}"),
    "no end": ("SC015", f'the company"\n    {SEEN}2026-05-01', f'the company"\n    {SEEN}unknown'),
    "four years": ("SC016", CT, CT.replace("2026-05-01", "2026-05-01, expires: 2028-03-02", 1)),
    "an offer that is not declared": ("SC017", "    offers: [object-storage, vmware]", "    offers: [paas]"),
    "an offer that is not there": ("SC017", "    regions: [lyon]", "    regions: [oslo]"),
    "a region's offer that is not declared": ("SC017", "    offers: [object-storage, compute]", "    offers: [paas]"),
    "a grant for no region": ("SC018", "    regions: [lyon]", "    regions: [lyon, paris]"),
    "an endpoint for no region": ("SC018", "      regions: [oslo]", "      regions: [olso]"),
    "a signature for no region": ("SC018", "signing_region: {oslo", "signing_region: {olso"),
    "a site that is not": ("SC019", "site: acme/lyon", "site: acme/lyons"),
    "http": ("SC020", "https://oslo", "http://oslo"),
    "no host": ("SC020", "https://oslo.acme.example/spaces", "https:///spaces"),
    "anybody's domain": ("SC020", "https://oslo.acme.example/", "https://oslo.{domain}/"),
    "anybody's second label": ("SC020", "https://oslo.acme.example/", "https://oslo.{domain}.example/"),
    "anybody's host": ("SC020", "https://oslo.acme.example/", "https://{host}/"),
    "a placeholder that is none": ("SC020", "{space_id}", "{Space Id}"),
    "a user in the address": ("SC020", "https://oslo.acme", "https://me@oslo.acme"),
    "two endpoints for a region": ("SC020", "      regions: [oslo]\n", ""),
    "no endpoint": ("SC021", 's3-{region}.acme.example"\n', 's3.acme.example"\n      regions: [oslo]\n'),
    "no adapter": ("SC021", "  adapter: s3\n", ""),
}  # fmt: skip


def findings(path: Path) -> tuple:
    return lint(path, today=TODAY)


def test_a_good_file_has_no_finding(folder, acme):
    assert findings(folder(acme=acme)) == ()
    assert findings(folder(acme=acme) / "acme.yaml") == ()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(folder, acme, mistake: str):
    code, good, bad = MISTAKES[mistake]
    assert acme.count(good) >= 1
    text = acme.replace(good, bad, 1)
    found = findings(folder(acme=text))
    assert code in {finding.code for finding in found}, found
    lines = text.splitlines()
    for finding in found:
        assert finding.file == "acme.yaml"
        assert 1 <= finding.line <= len(lines) + 1
        assert finding.text == (lines[finding.line - 1] if finding.line <= len(lines) else "")
        assert finding.message[0].islower() or finding.message[0] == "`"
        assert not finding.message.endswith(".")


def test_a_file_with_another_name_is_found(folder, acme, tmp_path):
    path = folder(Acme=acme.replace("site: acme/", "site: Acme/"))
    assert "SC022" in {finding.code for finding in findings(path)}
    (tmp_path / "Acme.yaml").rename(tmp_path / "acme.yml")
    assert "SC022" in {finding.code for finding in findings(tmp_path)}


def test_every_code_is_planted_and_has_a_title():
    planted = {code for code, _, _ in MISTAKES.values()} | {"SC022"}
    assert planted == set(TITLES)


@pytest.mark.parametrize(
    "mistake", [m for m, (code, _, _) in MISTAKES.items() if code not in {"SC011", "SC012", "SC019"}]
)
def test_what_breaks_a_rule_is_not_loaded(folder, acme, mistake: str):
    _, good, bad = MISTAKES[mistake]
    with pytest.raises(ConfigError, match="SC0"):
        load(folder(acme=acme.replace(good, bad, 1))).target("acme/oslo")


def test_one_look_finds_everything(folder, acme):
    bad = acme.replace("country: FR", "country: XX").replace("site: acme/lyon", "site: acme/x").replace("http", "ftp")
    assert {"SC006", "SC019", "SC020"} <= {finding.code for finding in findings(folder(acme=bad))}


def test_the_place_is_the_word_that_is_wrong(folder, acme):
    (found,) = findings(folder(acme=acme.replace("sources: [press]", "sources: [press, pres]")))
    assert (found.code, found.line, found.column, found.width) == ("SC010", 11, 100, 4)
    assert found.help == "did you mean `press`?"


def test_a_site_may_be_a_shipped_provider_s(folder, acme):
    assert findings(folder(acme=acme.replace("site: acme/lyon", "site: ovhcloud/rbx"))) == ()
    (found,) = findings(folder(acme=acme.replace("site: acme/lyon", "site: ovhcloud/rbxx")))
    assert (found.code, found.help) == ("SC019", "did you mean `ovhcloud/rbx`?")


def test_a_year_granted_may_end_with_its_third_year(folder, acme):
    whole = acme.replace("since: 2025-03-01", "since: 2023").replace(
        "as_of: 2026-05-01", "as_of: 2026-05-01, expires: {}", 1
    )
    assert findings(folder(acme=whole.replace("expires: {}", "expires: 2026-12-31"))) == ()
    (found,) = findings(folder(acme=whole.replace("expires: {}", "expires: 2027-01-01")))
    assert found.code == "SC016"


def test_memory_may_say_where_it_was_read(folder, acme):
    assert findings(folder(acme=acme.replace(PRESS, PRESS.replace("verified", "memory").replace("high", "low")))) == ()


def test_a_region_that_stores_nothing_needs_no_endpoint(folder, acme):
    start = acme.index('    - is: "https://oslo')
    end = acme.index("  signing_region")
    alone = (acme[:start] + acme[end:]).replace('acme.example"\n', 'acme.example"\n      regions: [lyon]\n', 1)
    (found,) = findings(folder(acme=alone))
    assert (found.code, found.message) == ("SC021", "no endpoint is known for oslo")
    assert findings(folder(acme=alone.replace("offers: [object-storage, compute]", "offers: [compute]"))) == ()


def test_nothing_to_check(tmp_path):
    with pytest.raises(ConfigError, match="there is no file or folder"):
        lint(tmp_path / "nope")
    assert lint(tmp_path) == ()


def test_a_file_that_is_no_map(folder):
    (found,) = findings(folder(acme="- a\n"))
    assert found.code == "SC005"


def test_the_words_are_told_in_the_documentation():
    page = (Path(__file__).parents[3] / "docs" / "catalogue.md").read_text("utf-8")
    assert not [word for word in (*OFFERS, *SCHEMES) if f"`{word}`" not in page]
    assert not [code for code, title in TITLES.items() if f"| `{code}` | {title} |" not in page]
