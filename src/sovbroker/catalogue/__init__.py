"""Dated facts about providers: where bytes are, whose law reaches them, what is qualified, and how to connect."""

from sovbroker.catalogue.lint import lint
from sovbroker.catalogue.loader import Catalogue, Connection, load

__all__ = ["Catalogue", "Connection", "lint", "load"]
