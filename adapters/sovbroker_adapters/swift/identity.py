"""Tokens: how Keystone and v1 are asked for one, and which of the URLs that they name is the account's. Needs httpx."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sovbroker.errors import PermissionDenied, SovbrokerError, StoreError, Unavailable
from sovbroker_adapters.keystone import endpoints, lifetime
from sovbroker_adapters.swift.access import Access, origin
from sovbroker_adapters.swift.answers import record, whole
from sovbroker_adapters.swift.failures import failure, said

if TYPE_CHECKING:
    import httpx

__all__ = ["Asking", "Login"]

ANSWER_MAX: Final = 4 << 20
MARGIN: Final = 60.0
KIND: Final = "object-store"
REFUSED: Final = frozenset({401, 403, 407})
MISSING: Final = 404
LATER: Final = frozenset({408, 425, 429, 498})


@dataclass(frozen=True, slots=True)
class Login:
    """A token with the account's `url` and its region's name; it is not used after `until`, of the monotonic clock."""

    token: str = field(repr=False)
    url: str
    region: str | None
    until: float

    @property
    def stale(self) -> bool:
        """Whether it is about to expire: a body that can be sent once must not find that out."""
        return time.monotonic() >= self.until

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a token cannot be pickled")


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks for the tokens of one target. `region` and `interface` pick an endpoint of Keystone's catalogue."""

    target: str
    access: Access
    region: str | None
    interface: str

    def login(self, client: httpx.Client) -> Login:
        """Return a token. Raises PermissionDenied where none is given, or for another place than the endpoint."""
        access = self.access
        if access.body:
            answer, body = self._ask(client, "POST", f"{access.authority}/auth/tokens", content=json.dumps(access.body))
            token = answer.headers.get("X-Subject-Token")
            found = self._of_keystone(body)
            expires = lifetime(found)
            region, url = self._chosen(endpoints(found, {KIND}, interface=self.interface))
        else:
            answer, _ = self._ask(client, "GET", access.authority, headers=access.headers)
            token = answer.headers.get("X-Auth-Token")
            seconds = answer.headers.get("X-Auth-Token-Expires", "")
            expires = float(seconds) if seconds.isdecimal() else None
            region, url = self._chosen(iter([(None, answer.headers.get("X-Storage-Url", ""))]))
        if not token or not token.isascii() or not token.isprintable():
            raise self._broken("it holds no token")
        until = time.monotonic() + max(0.0, expires - MARGIN) if expires is not None else float("inf")
        return Login(token, url, region, until)

    def _ask(
        self,
        client: httpx.Client,
        method: str,
        url: str,
        *,
        content: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[httpx.Response, bytes]:
        sent = {"Content-Type": "application/json", "Accept": "application/json"} if content else dict(headers or {})
        try:
            with client.stream(method, url, content=content, headers=sent) as answer:
                body = whole(answer, most=ANSWER_MAX)
        except Exception as error:
            found = failure(error, "the question for a token", target=self.target)
            if found is error:
                raise
            raise found from error
        if answer.status_code not in range(200, 300):
            raise self._refused(answer.status_code)
        return answer, body

    def _refused(self, status: int) -> SovbrokerError:
        text = f"the question for a token was answered {said(status)}"
        if status in REFUSED:
            return PermissionDenied(text, target=self.target)
        if status == MISSING and self.access.body:
            # What Keystone says of an application credential that it does not know.
            text += ": there is no such application credential, or `authority` is not Keystone's version 3"
            return PermissionDenied(text, target=self.target)
        if 400 <= status < 500 and status not in LATER:  # noqa: PLR2004 - the request's fault
            return StoreError(f"{text}; is `authority` the right URL?", target=self.target)
        if 300 <= status < 400:  # noqa: PLR2004 - redirects
            return StoreError(f"{text}; redirects are not followed", target=self.target)
        return Unavailable(text, target=self.target)

    def _of_keystone(self, body: bytes) -> Mapping[str, object]:
        try:
            found = record(record(json.loads(body)).get("token"))
        except (ValueError, RecursionError) as error:
            raise self._broken("it is not JSON") from error
        if not found:
            raise self._broken("it describes no token")
        return found

    def _chosen(self, named: Iterator[tuple[str | None, str]]) -> tuple[str | None, str]:
        """Return the one of the URLs, each with its region, that is at the endpoint of this target.

        Whoever answers could name any place; only the endpoint is one that the policy has decided about.
        """
        every = list(named)
        here = [(region, url) for region, url in every if self._here(url)]
        if len({url for _, url in here}) > 1:
            here = [(region, url) for region, url in here if region == self.region]
        if len({url for _, url in here}) == 1:
            return here[0][0], here[0][1].rstrip("/")
        places = ", ".join(sorted({f"`{_shown(url)}`" for _, url in every})) or "no place"
        if any(self._here(url) for _, url in every):
            message = f"the catalogue names several accounts at the endpoint; none of them is of region `{self.region}`"
            raise StoreError(message, target=self.target)
        message = f"nothing was sent: objects would go to {places}, and not to `{_shown(self.access.endpoint)}`"
        raise PermissionDenied(message, target=self.target)

    def _here(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            same = origin(url) == origin(self.access.endpoint)
        except ValueError:
            return False
        plain = parts.username is None and not parts.query and not parts.fragment
        return same and plain and {".", ".."}.isdisjoint(parts.path.split("/"))

    def _broken(self, why: str) -> Unavailable:
        return Unavailable(f"a broken answer to the question for a token: {why}", target=self.target)


def _shown(url: str) -> str:
    return url.split("?", 1)[0][:100]
