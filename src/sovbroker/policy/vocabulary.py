"""The words that every policy may use without declaring them: categories, aliases and qualification schemes.

Only what a policy mentions enters its lattice, so that a label which the policy says nothing about stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sovbroker.labels import Category

__all__ = ["ALIASES", "CATEGORIES", "SCHEMES"]

CATEGORIES: Final[Mapping[str, Category]] = MappingProxyType(
    {
        category.name: category
        for category in (
            Category("personal", minimum="internal"),
            Category("special-category", frozenset({"personal"})),
            Category("health", frozenset({"special-category"}), minimum="confidential"),
            Category("sren31", minimum="confidential"),
            Category("dr"),
            Category("classified"),
            Category("trade-secret"),
            Category("financial-dora"),
            Category("public-archive"),
        )
    }
)
"""Legal regimes that packs give requirements to. A minimum holds only where the policy has a level of that name."""

ALIASES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("publique", ("public",)),
    ("interne", ("internal",)),
    ("confidentiel", ("confidential",)),
    ("restreint", ("restricted",)),
    ("donnees-sensibles", ("sren31",)),
    ("donnees-personnelles", ("personal",)),
    ("donnees-de-sante", ("health",)),
    ("secret-des-affaires", ("trade-secret",)),
    ("diffusion-restreinte", ("dr", "restricted-dr")),
    ('fr-classif:non-classifiees="NON-PROTEGE"', ("internal",)),
    ('fr-classif:non-classifiees="DIFFUSION_RESTREINTE"', ("dr", "restricted-dr")),
    ('fr-classif:classifiees="SECRET"', ("classified",)),
    ('fr-classif:classifiees="TRES_SECRET"', ("classified",)),
    ('gdpr:special-categories="health"', ("health",)),
)
"""Spellings from other vocabularies (French terms, MISP machine tags), each with the labels it may stand for.

The first label that the policy knows is meant; an alias of which it knows none does not exist.
"""

SCHEMES: Final = frozenset({"c5", "ec-sovereign-cloud-180m", "ens", "eucs", "hds", "iso27001", "secnumcloud"})
"""The qualification schemes that a zone may ask for, besides those that the facts at hand mention."""
