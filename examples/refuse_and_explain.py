"""Ask a policy before anything is stored: where would this go, and why not there.

The targets are those of the shipped catalogue; the policy is the demo's. No server is needed to decide.

Prints:
    presse/communique.txt: public
      at aws/eu-west-3
    patients/42.json: restricted+health+personal+special-category
      at cloud-temple/fr1, outscale/cloudgouv-eu-west-1
    entrepot/cohorte.parquet: restricted+health+personal+special-category+sren31
      refused
      aws/eu-west-3: …
      cloud-temple/fr1: …
      outscale/cloudgouv-eu-west-1: `sren31` (Loi SREN, art. 31) demands more: …
      ovhcloud/gra: `restricted` (Doctrine « cloud au centre », règle R9): not in qualified: …
"""

from datetime import UTC, datetime
from pathlib import Path

from sovbroker import catalogue, policy
from sovbroker.catalogue.facts import Basis, Confidence, Evidence, Fact, Facts, KeyHolder

known = catalogue.load()
targets = [
    known.target(at) for at in ("aws/eu-west-3", "ovhcloud/gra", "outscale/cloudgouv-eu-west-1", "cloud-temple/fr1")
]

# Who may hold keys: here a keyring in France, as its operator states.
stated = Evidence(Basis.ATTESTED, Confidence.HIGH)
france = Fact(frozenset({"FR"}), stated)
keyring = KeyHolder("main", Facts(located=france, controlled=france, technology=Fact(None, stated)))

rules = policy.load(
    Path(__file__).parent / "data" / "policy.yaml",
    targets=targets,
    keys=[keyring],
    clock=lambda: datetime(2026, 11, 24, tzinfo=UTC),
)
for key in ("presse/communique.txt", "patients/42.json", "entrepot/cohorte.parquet"):
    decision = rules.decide(key)
    print(f"{key}: {decision.label}")
    if decision.allowed:
        print("  at", ", ".join(choice.target for choice in decision.targets))
        continue
    print("  refused")
    for target, reasons in sorted(decision.rejected.items()):
        print(f"  {target}: {reasons[0]}")
