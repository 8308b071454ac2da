"""Trials: a policy is tested with cases on days that stand still, and the cases with mutants of the policy.

::

    trial = try_policy(Path("acme.yaml"))       # with the cases of acme.tests.yaml
    print(trial)                                # each case that fails and why, then what no case notices
"""

from sovbroker.policy.trial.coverage import Coverage, Portion
from sovbroker.policy.trial.killing import Kill, Mutation
from sovbroker.policy.trial.mutants import Mutant
from sovbroker.policy.trial.trial import Result, Trial, try_policy

__all__ = ["Coverage", "Kill", "Mutant", "Mutation", "Portion", "Result", "Trial", "try_policy"]
