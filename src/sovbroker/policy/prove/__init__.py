"""Proofs about a policy: what holds for every label and every place that there could be, and what does not, by example.

::

    proof = prove(policy, at=date(2026, 11, 24))
    print(proof)                    # what was proved, and a counterexample for what does not hold

A policy can tell only finitely many kinds of places apart, so one representative of each makes enumeration a proof.
"""

from sovbroker.policy.prove.agenda import calendar
from sovbroker.policy.prove.always import Counterexample
from sovbroker.policy.prove.proof import Proof, prove
from sovbroker.policy.prove.timeline import Loss

__all__ = ["Counterexample", "Loss", "Proof", "calendar", "prove"]
