"""Countries and groups of countries, as facts and policies name them.

Countries are ISO 3166-1 alpha-2 codes. Groups: `EU`, `EEA` (EU with Iceland, Liechtenstein and Norway) and `adequate`:
the countries outside the EEA for which the European Commission has decided that they protect personal data adequately
(GDPR art. 45). The partial decisions, for commercial organisations in Canada and for certified companies in the United
States, are left out: they do not cover a country.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import date
from typing import Final

from sovbroker.errors import InvalidArgument

__all__ = ["ADEQUATE_AS_OF", "COUNTRIES", "GROUPS", "expand"]

COUNTRIES: Final = frozenset(
    (  # noqa: SIM905 - a list would take 250 lines
        "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW "
        "BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI "
        "FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN "
        "IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME "
        "MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF "
        "PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV "
        "SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE "
        "YT ZA ZM ZW"
    ).split()
)
"""Every officially assigned code of ISO 3166-1 alpha-2."""

EU: Final = frozenset("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split())  # noqa: SIM905 - as above

ADEQUATE_AS_OF: Final = date(2025, 1, 1)
"""When the list of adequacy decisions was last looked at, from general knowledge. Check it before you rely on it."""

GROUPS: Final = {
    "EU": EU,
    "EEA": EU | {"IS", "LI", "NO"},
    "adequate": frozenset("AD AR CH FO GB GG IL IM JE JP KR NZ UY".split()),  # noqa: SIM905 - as above
}


def expand(names: Iterable[str]) -> frozenset[str]:
    """Return the countries that `names`, of countries and groups, stand for. Raises InvalidArgument."""
    found: set[str] = set()
    for name in names:
        if name in GROUPS:
            found |= GROUPS[name]
        elif name in COUNTRIES:
            found.add(name)
        else:
            close = difflib.get_close_matches(name, [*GROUPS, *COUNTRIES], n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"a group is one of {', '.join(GROUPS)}"
            raise InvalidArgument(f"unknown country `{name}`; use a code of ISO 3166 such as `FR`; {hint}")
    return frozenset(found)
