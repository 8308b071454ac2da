"""Every code of a policy's diagnostics, with its title. The one place where they are listed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sovbroker.document import Kind

__all__ = ["DOCUMENT_CODES", "TITLES"]

UNKNOWN_NAME: Final = "SB001"
DUPLICATE: Final = "SB002"
UNREADABLE: Final = "SB003"
WRONG_TYPE: Final = "SB004"
WRONG_VALUE: Final = "SB005"
MISSING: Final = "SB006"
NO_LABEL: Final = "SB010"
NO_ZONE: Final = "SB011"
NO_COUNTRY: Final = "SB012"
NO_SCHEME: Final = "SB013"
NO_PLACE: Final = "SB014"
NO_FILE: Final = "SB015"
NO_LEVELS: Final = "SB016"
CONFLICT: Final = "SB020"
ROOT_ONLY: Final = "SB021"
BAD_GLOB: Final = "SB022"
NEEDS_SEAL: Final = "SB023"
RETAIN: Final = "SB024"
MATCHES_NOTHING: Final = "SB025"
PREVIEW_ALONE: Final = "SB026"
BAD_PARAMETER: Final = "SB027"
NO_DETECTOR: Final = "SB028"
WAIVER_LONG: Final = "SB030"
WAIVER_APPROVALS: Final = "SB031"
WAIVER_FIRM: Final = "SB032"

ALWAYS_VIOLATED: Final = "SB040"
NO_PLACEMENT: Final = "SB041"
NOT_MONOTONE: Final = "SB042"
UNSATISFIABLE: Final = "SB043"
NO_CASES: Final = "SB050"
CASE_FAILED: Final = "SB051"

DARK: Final = "SB101"
WAIVER_LAPSED: Final = "SB102"
WEAK_DEFAULT: Final = "SB103"
EMPTY_ZONE: Final = "SB104"
UNUSED_ZONE: Final = "SB105"
IDLE_CATEGORY: Final = "SB106"
UNCHECKED_PLACE: Final = "SB107"
GOES_DARK: Final = "SB108"
NEVER_MINIMAL: Final = "SB109"
REDUNDANT_RULE: Final = "SB110"
RANKING: Final = "SB111"
INNER_STARS: Final = "SB112"
UNCOVERED_RULE: Final = "SB120"
SURVIVING_MUTANT: Final = "SB121"

DOCUMENT_CODES: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.UNKNOWN: UNKNOWN_NAME,
        Kind.DUPLICATE: DUPLICATE,
        Kind.SYNTAX: UNREADABLE,
        Kind.TYPE: WRONG_TYPE,
        Kind.VALUE: WRONG_VALUE,
        Kind.MISSING: MISSING,
    }
)
"""The code of each kind of finding that any YAML document can have."""

TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        UNKNOWN_NAME: "unknown key or predicate",
        DUPLICATE: "the same key or id twice",
        UNREADABLE: "the file cannot be read",
        WRONG_TYPE: "a list, a map or a text where another is due",
        WRONG_VALUE: "a value that does not have the right form",
        MISSING: "a key that must be there",
        NO_LABEL: "undefined level, category or label",
        NO_ZONE: "undefined zone",
        NO_COUNTRY: "unknown country or group of countries",
        NO_SCHEME: "unknown qualification scheme",
        NO_PLACE: "a denial that names nothing",
        NO_FILE: "a policy to extend that cannot be found",
        NO_LEVELS: "no levels, or levels from several packs",
        CONFLICT: "one name defined differently in two places",
        ROOT_ONLY: "a pack says what only a policy may say",
        BAD_GLOB: "a path pattern outside the glob language",
        NEEDS_SEAL: "hidden names or key zones without encryption",
        RETAIN: "an object would have to be kept longer than it may be",
        MATCHES_NOTHING: "a rule that looks at nothing",
        PREVIEW_ALONE: "a preview is the only thing that demands anything",
        BAD_PARAMETER: "a parameter that is unknown, missing or of the wrong kind",
        NO_DETECTOR: "unknown content detector",
        WAIVER_LONG: "a waiver that lasts too long",
        WAIVER_APPROVALS: "a waiver without enough approvals",
        WAIVER_FIRM: "a waiver on what cannot be waived",
        ALWAYS_VIOLATED: "an `always` invariant does not hold",
        NO_PLACEMENT: "a label that objects carry has no placement",
        NOT_MONOTONE: "a stricter label gains a target",
        UNSATISFIABLE: "copies that no set of targets can hold",
        NO_CASES: "no cases to test the policy with",
        CASE_FAILED: "a case does not come out as expected",
        DARK: "a label has no placement today",
        WAIVER_LAPSED: "a waiver has lapsed",
        WEAK_DEFAULT: "the default is not the strictest level",
        EMPTY_ZONE: "no target is in a zone today",
        UNUSED_ZONE: "a zone that nothing uses",
        IDLE_CATEGORY: "a category that demands nothing",
        UNCHECKED_PLACE: "a target or provider that is not known here",
        GOES_DARK: "a label will have no placement",
        NEVER_MINIMAL: "an alternative that nothing ever takes",
        REDUNDANT_RULE: "a rule that another one includes",
        RANKING: "a less trusted zone may be preferred",
        INNER_STARS: "a pattern that every key has to be tried with",
        UNCOVERED_RULE: "no case exercises a part of the policy",
        SURVIVING_MUTANT: "a part of the policy can go without a case noticing",
    }
)
"""What each code is about: SB0xx are errors, SB1xx warnings."""
