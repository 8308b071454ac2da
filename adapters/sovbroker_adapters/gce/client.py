"""The connection to the API: calls with a token, pages, operations that are waited for, and errors."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast
from urllib.parse import urlencode, urlsplit

from sovbroker.errors import (
    AlreadyExists,
    InvalidArgument,
    NoCapacity,
    NotFound,
    PermissionDenied,
    SovbrokerError,
    StoreError,
    Unavailable,
)
from sovbroker.ports import Binding
from sovbroker_adapters.answers import broken, entry
from sovbroker_adapters.attempts import repeated
from sovbroker_adapters.calls import Answer, Caller
from sovbroker_adapters.gce.signing import ServiceAccount
from sovbroker_adapters.rest import by_status
from sovbroker_adapters.settings import Reading
from sovbroker_adapters.settling import settled

__all__ = ["Connection"]

OK: Final = 200
PAGE: Final = 500
SHOWN: Final = 300
DONE: Final = "DONE"
UNDER_WAY: Final = frozenset({"PENDING", "RUNNING", DONE})
OPERATION: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
NAMED: Final = re.compile(r"'(?:https://[^/']+/compute/[^/']+/)?(projects/[^']+)'")
REASONS: Final[Mapping[str, type[StoreError]]] = MappingProxyType(
    {
        "RESOURCE_ALREADY_EXISTS": AlreadyExists,
        "alreadyExists": AlreadyExists,
        "accessNotConfigured": PermissionDenied,
        "authError": PermissionDenied,
        "forbidden": PermissionDenied,
        "QUOTA_EXCEEDED": NoCapacity,
        "RESOURCE_NOT_READY": Unavailable,
        "backendError": Unavailable,
        "concurrentLimitExceeded": Unavailable,
        "internalError": Unavailable,
        "insufficientCapacity": NoCapacity,
        "quotaExceeded": NoCapacity,
        "rateLimitExceeded": Unavailable,
        "resourceNotReady": Unavailable,
        "userRateLimitExceeded": Unavailable,
    }
)
EXHAUSTED: Final = "RESOURCE_POOL_EXHAUSTED"
"""Of a zone or a region, with details or without."""

MISSING: Final = frozenset({"notFound", "RESOURCE_NOT_FOUND"})
WRONG: Final = frozenset(
    {
        "INVALID_FIELD_VALUE",
        "INVALID_USAGE",
        "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
        "UNSUPPORTED_OPERATION",
        "badRequest",
        "conditionNotMet",
        "invalid",
        "required",
        "resourceInUseByAnotherResource",
    }
)


class Connection:
    """The API for one project and region. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(
        self, binding: Binding, account: ServiceAccount, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        reading = Reading(binding)
        self.target = binding.target
        self.project = f"projects/{binding.container}"
        self.region = binding.region or ""
        self.zone = reading.text("zone")
        self.subnet = reading.text("subnet")
        self.public = reading.switch("public-address")
        self._within = reading.number("within", 300)
        self._attempts = reading.number("attempts", 3)
        self._account = account
        self._sleep = sleep
        self._root = (binding.endpoint or "").rstrip("/")
        self._caller = Caller(
            binding, connect=reading.number("connect-timeout", 10), read=reading.number("read-timeout", 60)
        )

    def __repr__(self) -> str:
        """Name the project and the region, and no secret."""
        return f"Connection(target={self.target!r}, project={self.project!r}, region={self.region!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled: it holds secrets")

    def get(self, path: str, kind: str, **params: str | int) -> Mapping[str, Any]:
        """Return what is there. Raises Unavailable for an answer of another kind than `compute#kind`."""
        found = self._ask("GET", path, params)
        if found.get("kind") != f"compute#{kind}":
            raise broken(f"something that is no `{kind}`", target=self.target)
        return found

    def pages(self, path: str, kind: str, **params: str) -> Iterator[Mapping[str, Any]]:
        """Yield the pages of a list. Raises Unavailable for one of another kind, and where something was left out."""
        token: str | None = None
        seen: set[str] = set()
        while True:
            more = {} if token is None else {"pageToken": token}
            page = self.get(path, kind, maxResults=PAGE, **params, **more)
            if page.get("unreachables"):
                raise broken("that it could not look everywhere", target=self.target)
            yield page
            following: object = page.get("nextPageToken")
            if not following:
                return
            if not isinstance(following, str) or following in seen:
                raise broken("pages that lead in a circle", target=self.target)
            seen.add(following)
            token = following

    def change(
        self,
        method: str,
        path: str,
        *,
        of: str,
        body: Mapping[str, object] | None = None,
        request: str = "",
        **params: str,
    ) -> bool:
        """Change something, and return when it is done: whether it had been done before, by the same `request`.

        `of` is the path of what the operation is to be about. The request may be made several times: the service knows
        it again by its id. Raises the error that the operation ends with.
        """
        asked = {**params, "requestId": request or str(uuid.uuid4())}
        began = self._operation(self._ask(method, path, asked, body), of)
        before = began["status"] == DONE
        place, _, _ = of.removeprefix(f"{self.project}/").partition("/instances/")[0].partition("/disks/")
        done = began
        if not before:
            if OPERATION.fullmatch(str(began["name"])) is None:
                raise broken("an operation without a name", target=self.target)
            done = settled(
                lambda: self._operation(
                    self.get(f"{self.project}/{place}/operations/{began['name']}", "operation"), of
                ),
                lambda found: found["status"] == DONE,
                within=self._within,
                what=f"the change of `{of}`",
                target=self.target,
                sleep=self._sleep,
            )
        self._check_ended(done)
        return bool(before)

    def close(self) -> None:
        """Close the connections of this process."""
        self._caller.close()

    def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int],
        body: Mapping[str, object] | None = None,
    ) -> Mapping[str, Any]:
        url = f"{self._root}/{path}" + (f"?{urlencode(params)}" if params else "")
        raw = None if body is None else json.dumps(body).encode()

        def once() -> Mapping[str, Any]:
            headers = {"Authorization": f"Bearer {self._account.token()}", "Accept": "application/json"}
            if raw is not None:
                headers["Content-Type"] = "application/json"
            answer = self._caller.call(method, url, headers=headers, body=raw)
            if answer.status != OK:
                raise self._failure(answer)
            return entry(answer.told, target=self.target)

        return repeated(once, attempts=self._attempts, again=True)

    def _operation(self, found: Mapping[str, Any], of: str) -> Mapping[str, Any]:
        """Return an operation. Raises Unavailable for what is none, and for one about something else."""
        link = found.get("targetLink")
        about = urlsplit(link).path if isinstance(link, str) else ""
        if found.get("kind") != "compute#operation" or found.get("status") not in UNDER_WAY:
            raise broken("something that is no operation", target=self.target)
        if not about.endswith(f"/{of}") or not isinstance(found.get("name"), str):
            raise broken(f"nothing of `{of}`, which it was asked about", target=self.target)
        return found

    def _check_ended(self, done: Mapping[str, Any]) -> None:
        """Raise the error that an operation ended with, if any."""
        if done.get("error"):
            first = _first(done["error"])
            status = done.get("httpErrorStatusCode")
            words = str(first.get("code", ""))[:SHOWN], str(first.get("message", ""))[:SHOWN]
            raise self._named(status if isinstance(status, int) else OK, *words)

    def _failure(self, answer: Answer) -> SovbrokerError:
        error = _object(_object(answer.told).get("error"))
        reason, message = str(_first(error).get("reason", ""))[:SHOWN], str(error.get("message", ""))[:SHOWN]
        return self._named(answer.status, reason, message)

    def _named(self, status: int, reason: str, message: str) -> SovbrokerError:
        """Return the error of a reason: only what the API itself calls missing is missing, and by its name."""
        words = f"the provider answered {status}{f', {reason}' if reason else ''}: {message}"
        kind = REASONS.get(reason) or by_status(status)
        if EXHAUSTED in reason:
            kind = NoCapacity
        elif reason in MISSING:
            missing = NAMED.search(message)
            # A project or a zone that is not there says nothing of the machines that were meant.
            kind = NotFound if missing is not None and not self._is_place(missing[1]) else by_status(status)
        if reason in WRONG:
            return InvalidArgument(f"{self.target}: {words}")
        return kind(words, target=self.target)

    def _is_place(self, path: str) -> bool:
        rest = path.removeprefix(self.project).strip("/").split("/")
        return path.startswith(self.project) and (rest == [""] or (len(rest) == 2 and rest[0] in {"zones", "regions"}))  # noqa: PLR2004 - a kind and a name


def _first(errors: object) -> dict[str, Any]:
    """Return the first of the errors that are told of; an empty one where none is."""
    held: object = _object(errors).get("errors")
    return _object(next(iter(cast("list[object]", held)), None)) if isinstance(held, list) else {}


def _object(told: object) -> dict[str, Any]:
    """Return an object; one without anything for what is none."""
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}
