"""Comparing: what a new policy changes, for labels in general and for the objects that there are.

::

    difference = compare(old, new, inventory, at=date(2026, 11, 24))
    print(difference)               # what loosens, tightens, moves and is refused, with objects, bytes and egress
    difference.exit_code            # 0 same, 1 changes, 3 loosens
"""

from sovbroker.policy.compare.classes import Amount, Class, Journey
from sovbroker.policy.compare.difference import GROUPS, Difference, Side, compare, compare_lines
from sovbroker.policy.compare.inventory import Item, read_items
from sovbroker.policy.compare.outcome import Outcome, Way
from sovbroker.policy.compare.page import as_page
from sovbroker.policy.compare.probes import Question, Row, Sample
from sovbroker.policy.compare.verdict import Change, Verdict

__all__ = [
    "GROUPS",
    "Amount",
    "Change",
    "Class",
    "Difference",
    "Item",
    "Journey",
    "Outcome",
    "Question",
    "Row",
    "Sample",
    "Side",
    "Verdict",
    "Way",
    "as_page",
    "compare",
    "compare_lines",
    "read_items",
]
