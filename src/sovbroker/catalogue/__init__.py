"""Dated facts about providers: where bytes are, whose law reaches them, what is qualified, and how to connect."""

from sovbroker.catalogue.connection import Connection
from sovbroker.catalogue.lint import lint
from sovbroker.catalogue.loader import Catalogue, load

__all__ = ["Catalogue", "Connection", "lint", "load"]
