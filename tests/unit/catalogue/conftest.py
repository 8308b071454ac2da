"""A folder with one provider whose file breaks no rule."""

from collections.abc import Callable
from pathlib import Path

import pytest

ACME = """\
schema: sovbroker.catalogue/1
name: "Acme Cloud"
tier: eu-controlled
offers: [object-storage, compute, vmware]

sources:
  press: {ref: "https://press.example/acme", date: 2026}
  docs: {ref: "https://docs.acme.example", date: 2026-05-01}

seat: {is: "Acme SAS, Lyon (FR)", evidence: {basis: memory, confidence: high, as_of: 2025}}
controlled: {is: [FR], evidence: {basis: verified, confidence: high, as_of: 2026, sources: [press]}}
technology: {is: unknown, evidence: {basis: memory, confidence: low, as_of: unknown}}
exposures:
  - {law: "a law", applies: contested, scope: "accounts", evidence: {basis: memory, confidence: low, as_of: 2025}}
qualifications:
  - scheme: secnumcloud
    version: 3.2
    status: qualified
    offers: [object-storage, vmware]
    regions: [lyon]
    since: 2025-03-01
    scope: "all of it"
    evidence: {basis: verified, confidence: high, as_of: 2026-05-01, sources: [docs]}
  - scheme: hds
    status: qualified
    scope: "the company"
    evidence: {basis: verified, confidence: high, as_of: 2026-05-01, sources: [docs]}
  - scheme: c5
    status: in-progress
    scope: "the company"
    evidence: {basis: verified, confidence: medium, as_of: 2026-05-01, sources: [docs]}
regions:
  lyon: {country: FR, place: Lyon, evidence: {basis: verified, confidence: high, as_of: 2026, sources: [docs]}}
  oslo:
    country: NO
    place: Oslo
    site: acme/lyon
    offers: [object-storage, compute]
    controlled: {is: [FR, NO], evidence: {basis: verified, confidence: high, as_of: 2026, sources: [docs]}}
    note: "in a cellar"
    evidence: {basis: verified, confidence: high, as_of: 2026, sources: [docs]}
storage:
  api: s3
  adapter: s3
  client: boto3
  endpoints:
    - is: "https://{account}.s3-{region}.acme.example"
      evidence: {basis: verified, confidence: high, as_of: 2026, sources: [docs]}
    - is: "https://oslo.acme.example/spaces/{space_id}"
      regions: [oslo]
      evidence: {basis: verified, confidence: high, as_of: 2026, sources: [docs]}
  signing_region: {oslo: default}
  settings: {addressing: virtual, parts_max: 1000, bulk-delete: false}
  facts:
    hours: {is: [always, sometimes], evidence: {basis: verified, confidence: high, as_of: 2026, sources: [docs]}}
compute: {api: none}
"""


@pytest.fixture
def acme() -> str:
    return ACME


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes provider files, by name, and returns their folder."""

    def written(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return written
