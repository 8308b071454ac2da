"""The connection to Resource Manager: tokens, calls, pages, operations that are waited for, and errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn, cast
from urllib.parse import urlencode, urlsplit

from sovbroker.errors import InvalidArgument, NoCapacity, NotFound, PermissionDenied, SovbrokerError, Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.answers import broken, entries, entry
from sovbroker_adapters.attempts import repeated
from sovbroker_adapters.calls import Answer, Caller
from sovbroker_adapters.rest import by_status
from sovbroker_adapters.settings import Reading
from sovbroker_adapters.settling import settled

__all__ = ["Connection"]

OK: Final = 200
ACCEPTED: Final = 202
NOTHING: Final = 204
PRECONDITION: Final = 412
SHOWN: Final = 300
SPARE: Final = 300
TOKEN_LEAST: Final = 60
MISSING: Final = frozenset({"ResourceNotFound", "PlatformImageNotFound", "ImageNotFound"})
PLACES: Final = frozenset({"ResourceGroupNotFound", "SubscriptionNotFound", "InvalidSubscriptionId"})
LATER: Final = frozenset({"InternalExecutionError", "InternalOperationError"})
FULL: Final = frozenset(
    {
        "AllocationFailed",
        "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest",
        "QuotaExceeded",
        "SkuNotAvailable",
        "ZonalAllocationFailed",
    }
)
NOT_ALLOWED: Final = "OperationNotAllowed"
QUOTA: Final = re.compile(r"\bquota\b", re.IGNORECASE)
"""What `OperationNotAllowed` speaks of where it is a quota that is full: it is said of much else as well."""

ENDED: Final = 0
"""Stands for the status of an operation that has ended: it has none of its own."""

WRONG_LEAST, WRONG_MOST = 400, 410


class Connection:
    """Resource Manager for one subscription. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, *, authority: str, sleep: Callable[[float], None] = time.sleep) -> None:
        reading = Reading(binding)
        self.target = binding.target
        subscription, _, self.group = binding.container.partition("/")
        self.subscription = f"/subscriptions/{subscription}"
        self.region = binding.region or ""
        self.subnet = reading.text("subnet") or ""
        self._root = (binding.endpoint or "").rstrip("/")
        self._audience = (reading.text("audience") or self._root).rstrip("/")
        self._authority = authority.rstrip("/")
        self._within = reading.number("within", 600)
        self._attempts = reading.number("attempts", 3)
        self._credentials = binding.credentials
        self._sleep = sleep
        self._token = ("", 0.0)
        self._caller = Caller(
            binding, connect=reading.number("connect-timeout", 10), read=reading.number("read-timeout", 60)
        )

    def __repr__(self) -> str:
        """Name the subscription and the region, and no secret."""
        return f"Connection(target={self.target!r}, subscription={self.subscription!r}, region={self.region!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled: it holds secrets")

    def get(self, path: str, version: str, **params: str) -> Mapping[str, Any]:
        """Return what is there. Raises Unavailable where that is about something else."""
        found = entry(self._call("GET", self._url(path, version, params)).told, target=self.target)
        if str(found.get("id", "")).lower() != path.lower():
            raise broken(f"nothing of `{path}`, which it was asked about", target=self.target)
        return found

    def names(self, path: str, version: str) -> list[str]:
        """Return the names of a list without pages."""
        found = entries(self._call("GET", self._url(path, version, {})).told, target=self.target)
        names = [one.get("name") for one in found]
        if not all(isinstance(name, str) and name for name in names):
            raise broken("something without a name", target=self.target)
        return [str(name) for name in names]

    def pages(self, path: str, version: str, **params: str) -> Iterator[Mapping[str, Any]]:
        """Yield every object of a list. Its next page is asked for at the same host only."""
        url: str | None = self._url(path, version, params)
        seen: set[str] = set()
        while url:
            if url in seen:
                raise broken("pages that lead in a circle", target=self.target)
            seen.add(url)
            answer = self._call("GET", url)
            yield from entries(answer.told, "value", target=self.target)
            following: object = entry(answer.told, target=self.target).get("nextLink")
            url = self._own(following) if following else None

    def put(self, path: str, version: str, body: Mapping[str, object], *, new: bool = False) -> bool:
        """Make what is at a path, and return when it is done: whether it was made, not there already.

        With `new`, what is there is left alone.
        """
        headers = {"If-None-Match": "*"} if new else {}
        answer = self._call("PUT", self._url(path, version, {}), body, headers, taken=new)
        if answer.status == PRECONDITION:
            return False
        if str(entry(answer.told, target=self.target).get("id", "")).lower() != path.lower():
            raise broken(f"nothing of `{path}`, which it was asked to make", target=self.target)
        self._wait(answer, path)
        return True

    def act(self, path: str, action: str, version: str, body: Mapping[str, object] | None = None) -> None:
        """Do something with what is at a path, once, and return when it is done."""
        answer = self._call("POST", self._url(f"{path}/{action}", version, {}), body)
        if not self._wait(answer, path):
            raise broken("without an operation to wait for", target=self.target)

    def delete(self, path: str, version: str, **params: str) -> None:
        """Remove what is at a path, and return when it is gone: the service says so by its code, not by a status."""
        self._wait(self._call("DELETE", self._url(path, version, params)), path)
        settled(
            lambda: self._is_gone(path, version),
            lambda gone: gone,
            within=self._within,
            what=f"the removal of `{path}`",
            target=self.target,
            sleep=self._sleep,
        )

    def close(self) -> None:
        """Close the connections of this process."""
        self._caller.close()

    def _is_gone(self, path: str, version: str) -> bool:
        try:
            self.get(path, version)
        except NotFound:
            return True
        return False

    def _wait(self, answer: Answer, path: str) -> bool:
        """Wait for the operation of an answer; whether there is one. Raises the error that it ends with."""
        told, plain = answer.headers.get("azure-asyncoperation"), answer.headers.get("location")
        link = told or (plain if answer.status == ACCEPTED else None)
        if link is None:
            if answer.status == ACCEPTED:
                raise broken("without the operation that it began", target=self.target)
            return False
        url = self._own(link)

        def look() -> bool:
            got = self._call("GET", url)
            if told is None:
                return got.status != ACCEPTED
            found = entry(got.told, target=self.target)
            match found.get("status"):
                case "Succeeded":
                    return True
                case "Failed" | "Canceled":
                    code, message = _named(found)
                    raise self._error(ENDED, code, message)
                case str() as status if status:
                    return False
                case _:
                    raise broken("an operation without a status", target=self.target)

        what = f"the change of `{path}`"
        settled(look, lambda done: done, within=self._within, what=what, target=self.target, sleep=self._sleep)
        return True

    def _own(self, link: object) -> str:
        """Return a link of the service's own. Raises PermissionDenied for one to another host."""
        url, root = str(link), urlsplit(self._root)
        if (urlsplit(url).scheme, urlsplit(url).netloc.lower()) != (root.scheme, root.netloc.lower()):
            raise PermissionDenied(
                f"nothing was sent: the service leads to `{urlsplit(url).netloc}`", target=self.target
            )
        return url

    def _url(self, path: str, version: str, params: Mapping[str, str]) -> str:
        return f"{self._root}{path}?{urlencode({**params, 'api-version': version})}"

    def _call(
        self,
        method: str,
        url: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        taken: bool = False,
    ) -> Answer:
        raw = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if raw is not None else {}

        def once() -> Answer:
            given = {
                "Authorization": f"Bearer {self._bearer()}",
                "Accept": "application/json",
                **kind,
                **(headers or {}),
            }
            answer = self._caller.call(method, url, headers=given, body=raw)
            if OK <= answer.status <= NOTHING or (taken and answer.status == PRECONDITION):
                return answer
            code, message = _named(_object(answer.told))
            raise self._error(answer.status, code, message)

        return repeated(once, attempts=self._attempts, again=method != "POST")

    def _error(self, status: int, code: str, message: str) -> SovbrokerError:
        """Return the error of an answer, or of an operation that has ended: only what is missing by its code is."""
        said = "an operation ended with" if status == ENDED else f"the provider answered {status}"
        words = f"{said}{f' {code}' if code else ''}: {message}"
        if code in MISSING:
            return NotFound(words, target=self.target)
        if code in FULL or (code == NOT_ALLOWED and QUOTA.search(message)):
            return NoCapacity(words, target=self.target)
        if code in LATER:
            return Unavailable(words, target=self.target)
        kind = Unavailable if status == ENDED and not code else by_status(status or WRONG_LEAST)
        known = code and code not in PLACES and not issubclass(kind, PermissionDenied | Unavailable)
        if known and (status == ENDED or WRONG_LEAST <= status < WRONG_MOST):
            # A wrong parameter, a wrong state, a conflict.
            return InvalidArgument(f"{self.target}: {words}")
        return kind(words, target=self.target)

    def _bearer(self) -> str:
        """Return a token that is good for some minutes at least."""
        token, until = self._token
        if time.monotonic() >= until:
            token, lasts = self._granted()
            self._token = (token, time.monotonic() + max(lasts - SPARE, TOKEN_LEAST))
        return token

    def _granted(self) -> tuple[str, int]:
        secrets = self._credentials
        form = {
            "grant_type": "client_credentials",
            "client_id": secrets.get("client_id") or "",
            "client_secret": secrets.get("client_secret") or "",
            "scope": f"{self._audience}/.default",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        url = f"{self._authority}/{secrets.get('tenant')}/oauth2/v2.0/token"
        answer = self._caller.call("POST", url, headers=headers, body=urlencode(form).encode())
        told = _object(answer.told)
        if answer.status != OK:
            # What describes the error may repeat what was sent.
            words = f"the authority gave no token: {answer.status} {str(told.get('error', ''))[:SHOWN]}"
            kind = PermissionDenied if told.get("error") in {"invalid_client", "unauthorized_client"} else None
            raise (kind or by_status(answer.status))(words, target=self.target)
        token, lasts = told.get("access_token"), told.get("expires_in")
        if told.get("token_type") != "Bearer" or not isinstance(token, str) or not token or not isinstance(lasts, int):
            raise Unavailable("the authority answered without a token", target=self.target)
        return token, lasts


def _named(told: Mapping[str, Any]) -> tuple[str, str]:
    """Return code and words of the error that an answer names; "" where it names none."""
    error = _object(told.get("error"))
    return str(error.get("code") or "")[:SHOWN], str(error.get("message") or "")[:SHOWN]


def _object(told: object) -> dict[str, Any]:
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}
