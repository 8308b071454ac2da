"""The connection to the API: signed calls, pages, and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast
from urllib.parse import urlsplit

from sovbroker.errors import (
    InvalidArgument,
    NoCapacity,
    NotFound,
    PermissionDenied,
    SovbrokerError,
    StoreError,
    Unavailable,
)
from sovbroker.ports import Binding
from sovbroker_adapters.answers import broken, entries
from sovbroker_adapters.attempts import repeated
from sovbroker_adapters.calls import Answer
from sovbroker_adapters.outscale.signing import signed
from sovbroker_adapters.rest import by_status, caller_of
from sovbroker_adapters.settings import Reading

__all__ = ["Connection"]

OK: Final = 200
LATER: Final = frozenset({408, 425, 429})
PAGE: Final = 1000
SHOWN: Final = 300
KINDS: Final[Mapping[str, type[StoreError]]] = MappingProxyType(
    {
        "AccessDenied": PermissionDenied,
        "AuthFailure": PermissionDenied,
        "InsufficientCapacity": NoCapacity,
        "InternalError": Unavailable,
        "InvalidResource": NotFound,
        "RequestLimitExceeded": Unavailable,
        "TooManyResources": NoCapacity,
        "UnauthorizedOperation": PermissionDenied,
    }
)
"""What the API calls its refusals, where it says more than the status does."""


class Connection:
    """The API of one region. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding) -> None:
        reading = Reading(binding)
        self.target = binding.target
        self.account = binding.container
        self.zone = reading.text("zone")
        self.subnet = reading.text("subnet")
        self.group = reading.text("security-group")
        self.within = reading.number("within", 60)
        self._attempts = reading.number("attempts", 3)
        self._binding = binding
        self._root = (binding.endpoint or "").rstrip("/")
        self._caller = caller_of(binding)

    def __repr__(self) -> str:
        """Name the region, and no secret."""
        return f"Connection(target={self.target!r}, region={self._binding.region!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled: it holds secrets")

    def ask(self, action: str, body: Mapping[str, object], *, again: bool) -> Mapping[str, Any]:
        """Make a call, several times where it may be made `again`. Whatever fails is an error of ours."""
        return repeated(lambda: self._once(action, json.dumps(body).encode()), attempts=self._attempts, again=again)

    def pages(self, action: str, name: str, **filters: object) -> Iterator[Mapping[str, Any]]:
        """Yield every object of a list, page by page. Raises Unavailable for a page that lacks the list."""
        body: dict[str, object] = {"ResultsPerPage": PAGE, **filters}
        seen: set[str] = set()
        while True:
            answer = self.ask(action, body, again=True)
            yield from entries(answer, name, target=self.target)
            token = answer.get("NextPageToken")
            if not token:
                return
            if not isinstance(token, str) or token in seen:
                raise broken("pages that lead in a circle", target=self.target)
            seen.add(token)
            body["NextPageToken"] = token

    def close(self) -> None:
        """Close the connections of this process."""
        self._caller.close()

    def _once(self, action: str, body: bytes) -> Mapping[str, Any]:
        url = f"{self._root}/{action}"
        parts, secrets = urlsplit(url), self._binding.credentials
        headers = signed(
            body,
            path=parts.path,
            host=parts.netloc,
            region=self._binding.region or "",
            access_key=secrets.get("access_key") or "",
            secret_key=secrets.get("secret_key") or "",
            now=datetime.now(UTC),
        )
        answer = self._caller.call("POST", url, headers=headers, body=body)
        if answer.status != OK:
            raise self._failure(answer)
        found = _object(answer.told)
        # Every answer of the API has it; a page of somebody in between has not.
        if not _object(found.get("ResponseContext")).get("RequestId"):
            raise broken("something that is no answer of it", target=self.target)
        if found.get("Errors"):
            raise self._failure(answer)
        return found

    def _failure(self, answer: Answer) -> SovbrokerError:
        """Return the error of an answer. Only what the API itself calls missing is missing."""
        status = answer.status
        kind, code, details = _named(answer.told)
        message = f"the provider answered {status}{f', {kind} {code}' if kind else ''}: {details}"
        # `TooManyResources (QuotaExceded)` is what its own table of errors says.
        known = KINDS.get(kind.partition(" ")[0])
        if known is not None:
            return known(message, target=self.target)
        match kind:
            case "" | "OperationNotSupported" | "OperationNotAllowed":
                return by_status(status)(message, target=self.target)
            case _ if status < 500:  # noqa: PLR2004 - HTTP's own
                # A wrong parameter, a wrong state, a conflict.
                return InvalidArgument(f"{self.target}: {message}")
            case _:
                return Unavailable(message, target=self.target)


def _object(told: object) -> dict[str, Any]:
    """Return an object; one without anything for what is none."""
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _named(told: object) -> tuple[str, str, str]:
    """Return type, code and words of the first error that an answer names; "" where it names none."""
    found: object = _object(told).get("Errors")
    first = next(iter(cast("list[object]", found)), None) if isinstance(found, list) else None
    error = _object(first)
    kind, code, details = (str(error.get(name) or "")[:SHOWN] for name in ("Type", "Code", "Details"))
    return kind, code, details
