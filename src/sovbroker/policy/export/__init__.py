"""Policies in the languages of other policy engines, for auditors who hold ours against one that we did not write.

The exports are made from the policy as it is read, never from the compiled table.
"""

from sovbroker.policy.export.cedar import Cedar, to_cedar
from sovbroker.policy.export.rego import rego_facts, to_rego

__all__ = ["Cedar", "rego_facts", "to_cedar", "to_rego"]
