"""The first draft of a policy, and of its cases: files to change, that load and pass as they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from sovbroker.document import suggest
from sovbroker.errors import InvalidArgument
from sovbroker.policy.sources import packs

__all__ = ["draft", "draft_cases"]

POLICY: Final = """\
# Which objects carry which label, and what each label demands of a place. `sovbroker policy check` proves it,
# `sovbroker policy test` runs the cases beside it. Nothing here depends on the order of its lines.
sovbroker: 1
name: {name}
{extends}levels: [public, internal, confidential, restricted]    # from low to high
default: restricted                                     # what no rule matches: the strictest level

zones:
  home: {{located: [EEA], controlled: [EEA]}}             # no law from outside reaches it
  anywhere: {{}}

require:                                                # an object meets what its level and every level below demand
  public:
    store: {{anywhere: {{}}}}
    compute: [anywhere]
  internal:
    store: {{home: {{}}, anywhere: {{encrypt: client}}}}
    compute: [home]
  confidential:
    store: {{home: {{encrypt: client}}, anywhere: {{encrypt: client, names: encrypt, keys: home}}}}
  restricted:
    store: {{home: {{encrypt: client, keys: home}}}}

classify:                                               # every rule that matches counts; a rule only raises a label
  - {{id: public, path: "public/**", label: public}}
  - {{id: internal, path: "internal/**", label: internal}}
  - {{id: confidential, path: "confidential/**", label: confidential}}

always:                                                 # proved over every possible target, not only those you have
  - {{id: restricted-at-home, label: restricted, outside: [home], demand: refused}}
  - {{id: sealed-away, label: internal, outside: [home], demand: {{encrypt: client}}}}
"""

CASES: Final = """\
# What the policy must say, on a day that stands still. `sovbroker policy test` also changes the policy in every way
# that should matter, and tells of each change that no case here notices.
sovbroker-tests: 1
at: {day}
targets:
  lab/home: {{located: [FR], controlled: [FR]}}
  lab/abroad: {{located: [FR], controlled: [FR, US]}}
  lab/far: {{located: [US], controlled: [US]}}
  lab/branch: {{located: [US], controlled: [FR]}}
keys:
  key-at-home: {{located: [FR], controlled: [FR]}}
  key-abroad: {{located: [FR], controlled: [US]}}
cases:
  - id: public-anywhere
    key: public/logo.png
    expect: {{label: public, rules: [public], modes: {{lab/home: {{}}, lab/far: {{}}}}}}
  - id: internal-sealed-away
    key: internal/plan.odt
    expect: {{rules: [internal], modes: {{lab/home: {{}}, lab/abroad: {{encrypt: client}}}}}}
  - id: confidential-with-keys-at-home
    key: confidential/offer.pdf
    expect:
      rules: [confidential]
      modes: {{lab/home: {{encrypt: client}}, lab/far: {{encrypt: client, names: encrypt, keys: [home]}}}}
  - id: nobody-knows-this
    key: something/else
    expect:
      label: restricted
      rules: [default]
      only: [lab/home]
      modes: {{lab/home: {{encrypt: client, keys: [home]}}}}
  - {{id: compute-on-public, key: public/logo.png, operation: compute, expect: {{includes: [lab/far]}}}}
  - {{id: compute-on-internal, key: internal/plan.odt, operation: compute, expect: {{only: [lab/home]}}}}
"""


def draft(name: str, *, extends: Sequence[str] = ()) -> str:
    """Return a policy that extends packs. Raises InvalidArgument for a pack that is not installed."""
    known = packs()
    for pack in extends:
        if pack not in known:
            raise InvalidArgument(f"there is no pack `{pack}`; {suggest(pack, known)}")
    line = f"extends: [{', '.join(dict.fromkeys(extends))}]\n" if extends else ""
    return POLICY.format(name=name, extends=line)


def draft_cases(day: date) -> str:
    """Return the cases of a draft, judged on `day`."""
    return CASES.format(day=day.isoformat())
