"""The group that every command on policies registers itself with."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer()
