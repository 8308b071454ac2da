"""The command line. Needs the extra `cli`; what it can do lives below it, and here is only the talking."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sovbroker.cli.tree import app

__all__ = ["app", "main"]

USAGE: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command with `argv` (default: the process's own arguments) and return its exit code.

    0 done, 1 failure, 2 usage or configuration, 3 refused by the policy, 4 not found, 5 integrity; 130 and 143 when it
    was stopped by Ctrl-C or by SIGTERM.
    """
    if any(find_spec(name) is None for name in ("typer", "rich")):
        sys.stderr.write("error: the command line is not installed; run `pip install 'sovbroker[cli]'`\n")
        return USAGE
    from sovbroker.cli.running import run  # noqa: PLC0415  # the extra may be missing, which has just been checked

    return run(sys.argv[1:] if argv is None else argv)


def __getattr__(name: str) -> object:
    """Give `app`, the tree of commands, to whoever looks into it; that imports the extra."""
    if name != "app":
        raise AttributeError(f"module `sovbroker.cli` has no attribute `{name}`")
    from sovbroker.cli import tree  # noqa: PLC0415  # as above

    return tree.app
