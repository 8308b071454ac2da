"""The commands on policies, one module each."""

from sovbroker.cli.policy import check, diff, export, init, packs, schema, test
from sovbroker.cli.policy.app import app

__all__ = ["app", "check", "diff", "export", "init", "packs", "schema", "test"]
