"""The placements, made again from what the providers hold: for the day on which the state database is lost.

Needed are the configuration, the keyrings and the targets. What is found decides; nothing is removed anywhere.
"""

from __future__ import annotations

from sovbroker.reindexing.rebuild import reindex
from sovbroker.reindexing.report import Odd, Oddity, Reindexed

__all__ = ["Odd", "Oddity", "Reindexed", "reindex"]
