"""Policies: a file decides which labels may live where, in which mode, and explains every answer.

::

    policy = load("policy.yaml", targets=targets, keys=keys)
    decision = policy.decide("patients/42.json", label="restricted+health")
    print(decision)                 # the label and why, the targets and modes, one reason per rejected target

The language is closed and total: no expressions, no precedence, no order. What is wrong is found when loading, with
file, line and column; after that, every question has an answer. Unknown is no.
"""

from typing import Final

from sovbroker.policy.codes import TITLES
from sovbroker.policy.decision import Choice, Decision, Operation
from sovbroker.policy.loader import load, loads
from sovbroker.policy.mode import Encrypt, Mode, Names
from sovbroker.policy.policy import Cell, Classification, Clock, Policy
from sovbroker.policy.rulebook import Retain
from sovbroker.policy.sources import packs

__all__ = [
    "DEFAULT",
    "TITLES",
    "Cell",
    "Choice",
    "Classification",
    "Clock",
    "Decision",
    "Encrypt",
    "Mode",
    "Names",
    "Operation",
    "Policy",
    "Retain",
    "load",
    "loads",
    "packs",
]

DEFAULT: Final = """\
# What holds when there is no configuration: everything is sealed, and stored here.
sovbroker: 1
name: default
levels: [public, internal, confidential, restricted]
default: restricted
zones:
  here: {target: [local]}
require:
  public:
    store: {here: {encrypt: client}}
"""
"""The policy that is used where there is no configuration: one target, `local`, and everything sealed there."""
