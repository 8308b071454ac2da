"""Keystone, version 3: what it is asked for a token, and what its answer says of places and time."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, cast

from sovbroker.errors import ConfigError
from sovbroker.ports import Credentials

__all__ = ["endpoints", "lifetime", "question", "unsaid"]

DOMAIN: Final = "Default"
HALVES: Final = (("username", "password"), ("application_credential_id", "application_credential_secret"))

# The library's debugging prints the headers of answers, and with them the tokens that are given.
SPEAKING: Final = logging.getLogger("httpcore.http11")
TOKEN: Final = re.compile(r"(b'x-(?:subject|auth|storage)-token', b')[^']*", re.IGNORECASE)


class Unsaid(logging.Filter):
    """Takes tokens out of what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without tokens."""
        said = record.getMessage()
        if TOKEN.search(said):
            record.msg, record.args = TOKEN.sub(r"\1…", said), None
        return True


UNSAID: Final = Unsaid()


def unsaid() -> None:
    """Keep tokens out of what httpx logs. May be called often: a logger does not take the same filter twice."""
    SPEAKING.addFilter(UNSAID)


def question(given: Credentials, *, target: str, project: str = "") -> Mapping[str, object]:
    """Return what Keystone is asked by these credentials: a user's, or an application's.

    `project` is the id of the project where they name none. Raises ConfigError for credentials that are not whole.
    """
    for one, other in HALVES:
        if (given.get(one) is None) != (given.get(other) is None):
            raise ConfigError(f"{target}: `{one}` and `{other}` belong together; give both")
    application = given.get("application_credential_id")
    if application is not None:
        if given.get("username") is not None:
            raise ConfigError(f"{target}: two credentials: give a user's, or an application's")
        # It belongs to one project, so that no scope is named.
        shown = {"id": application, "secret": given.get("application_credential_secret")}
        return {"identity": {"methods": ["application_credential"], "application_credential": shown}}
    name = given.get("username")
    if name is None:
        raise ConfigError(f"{target}: no credentials: give `username` and `password`, or those of an application")
    home = given.get("user_domain_name") or DOMAIN
    user = {"name": name, "domain": {"name": home}, "password": given.get("password")}
    by_id, by_name = given.get("project_id"), given.get("project_name")
    if by_id is None and by_name is None:
        by_id = project or None
    if by_id is None and by_name is None:
        raise ConfigError(
            f"{target}: nothing names the project; give `project_id` or `project_name` with the credentials"
        )
    there = {"name": given.get("project_domain_name") or home}
    scope: Mapping[str, object] = {"name": by_name, "domain": there} if by_id is None else {"id": by_id}
    return {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": scope}}


def endpoints(
    token: Mapping[str, object], kinds: Collection[str], *, interface: str
) -> Iterator[tuple[str | None, str]]:
    """Yield region and URL of each service of a kind in a token's catalogue; what is not of its form is left out."""
    for service in _records(token.get("catalog")):
        for endpoint in _records(service.get("endpoints")) if service.get("type") in kinds else ():
            if endpoint.get("interface") == interface:
                region = endpoint.get("region_id") or endpoint.get("region")
                yield region if isinstance(region, str) else None, str(endpoint.get("url") or "")


def lifetime(token: Mapping[str, object]) -> float | None:
    """Return for how many seconds a token lives, by the clock of who gave it alone."""
    try:
        issued, expires = (datetime.fromisoformat(str(token[name])) for name in ("issued_at", "expires_at"))
        return (expires - issued).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None


def _records(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("Mapping[str, Any]", one) for one in cast("list[object]", value) if isinstance(one, dict)]
