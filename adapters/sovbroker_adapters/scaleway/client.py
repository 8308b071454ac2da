"""The connection to the API: calls, pages, zones and errors."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar, cast
from urllib.parse import urlencode

from sovbroker.errors import InvalidArgument, NoCapacity, NotFound, SovbrokerError, StoreError, Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.answers import broken, entries, entry, read, text
from sovbroker_adapters.calls import Answer
from sovbroker_adapters.rest import Call, Rest, by_status, endpoint_of
from sovbroker_adapters.settings import Reading
from sovbroker_adapters.settling import settled

__all__ = ["BLOCK", "INSTANCE", "MARKETPLACE", "ZONES", "Connection", "Named"]

T = TypeVar("T")

BLOCK: Final = "/block/v1/zones"
INSTANCE: Final = "/instance/v1/zones"
MARKETPLACE: Final = "/marketplace/v2"
ZONES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {region: tuple(f"{region}-{one}" for one in range(1, 4)) for region in ("fr-par", "nl-ams", "pl-waw")}
    | {"it-mil": ("it-mil-1",)}
)
"""The zones of each region in which there are machines. What is in another is not seen."""

PAGE: Final = 100
SHOWN: Final = 300
MISSING_STATUS: Final = 404
MISSING: Final = frozenset({"not_found", "unknown_resource"})
WRONG: Final = frozenset({"invalid_arguments", "invalid_request_error"})
KINDS: Final[Mapping[str, type[StoreError]]] = MappingProxyType(
    {"transient_state": Unavailable, "out_of_stock": NoCapacity, "quotas_exceeded": NoCapacity}
)
ID: Final = re.compile(r"([a-z]{2}-[a-z]{3}-\d)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class Named:
    """What an id of ours names: a zone, and the id of a thing in it."""

    zone: str
    id: str

    def __str__(self) -> str:
        """Return the id."""
        return f"{self.zone}/{self.id}"


class Connection:
    """The API for one project in one region. Safe for threads and after a fork; not picklable: it holds secrets."""

    def __init__(self, binding: Binding, *, sleep: Callable[[float], None] = time.sleep) -> None:
        reading = Reading(binding)
        self.target = binding.target
        self.project = binding.container
        self.group = reading.text("security-group")
        self.public = reading.choice("address", ("public", "none")) == "public"
        zone = reading.text("zone")
        self.zones = ZONES.get(binding.region or "", (zone,) if zone else ())
        if not self.zones:
            raise reading.wrong("zone", f"the zones of `{binding.region}` are not known; give one")
        self.zone = zone or self.zones[0]
        if self.zone not in self.zones:
            raise reading.wrong("zone", f"`{zone}` is none of {', '.join(self.zones)}")
        self._within = reading.number("within", 300)
        self._root = endpoint_of(binding)
        self._binding = binding
        self._rest = Rest(binding, self._refused, sleep=sleep)
        self._sleep = sleep

    def __repr__(self) -> str:
        """Name the project, and no secret."""
        return f"Connection(target={self.target!r}, project={self.project!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled: it holds secrets")

    def named(self, name: str, what: str) -> Named:
        """Return what an id names. Raises NotFound for one that names nothing here."""
        found = ID.fullmatch(name)
        if found is None or found[1] not in self.zones:
            raise NotFound(f"there is no {what} `{name}`", target=self.target)
        return Named(found[1], found[2])

    def ask(
        self,
        call: str,
        *,
        body: object = None,
        script: bytes | None = None,
        expected: Collection[int] = (200,),
        again: bool = False,
        about: str = "",
    ) -> Answer:
        """Make a call, such as `GET /path`. Raises NotFound where the service itself says that `about` is not there."""
        method, _, path = call.partition(" ")
        headers = {"X-Auth-Token": self._binding.credentials.get("secret_key") or ""}
        allowed = {*expected, MISSING_STATUS} if about else expected
        url = f"{self._root}{path}"
        answer = self._rest.ask(Call(method, url, body, headers, expected=allowed, again=again, text=script))
        if answer.status not in expected:
            kind, said = _said(answer)
            if kind in MISSING and about in said:
                raise NotFound(f"there is no `{about}`", target=self.target)
            raise self._refused(answer)
        return answer

    def told(self, call: str, name: str = "", **more: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as `ask` takes them
        """Make a call whose answer is an object, or has one of that name. Raises Unavailable for any other."""
        answer = entry(self.ask(call, **more).told, target=self.target)
        return entry(answer.get(name), target=self.target) if name else answer

    def listed(
        self, path: str, name: str, *, size: str = "page_size", **filters: str
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return every object of a list by its id, or of an object by its name. `size` is what a page's size is called.

        Raises Unavailable for pages that lead in a circle, or hold other than as many as the provider says there are.
        """
        found: dict[str, Mapping[str, Any]] = {}
        total: int | None = None
        for page in count(1):
            query = urlencode({**filters, "page": page, size: PAGE})
            answer = self.ask(f"GET {path}?{query}", again=True)
            part = self._part(answer, name)
            fresh = {key: one for key, one in part.items() if key not in found}
            found |= fresh
            total = self._total(answer)
            if not part or (len(part) < PAGE if total is None else len(found) >= total):
                break
            if not fresh:
                raise broken("pages that lead in a circle", target=self.target)
        if total is not None and len(found) != total:
            raise broken(f"that there are {total} of `{name}`, and lists {len(found)}", target=self.target)
        return found

    def settle(self, look: Callable[[], T], done: Callable[[T], bool], what: str) -> T:
        """Return what `look` finds once it is `done`. Raises Unavailable where that takes too long."""
        return settled(look, done, within=self._within, what=what, target=self.target, sleep=self._sleep)

    def close(self) -> None:
        """Close the connections of this process."""
        self._rest.close()

    def _part(self, answer: Answer, name: str) -> Mapping[str, Mapping[str, Any]]:
        found = entry(answer.told, target=self.target).get(name)
        if isinstance(found, dict):
            named = cast("dict[str, object]", found)
            return {key: entry(one, target=self.target) for key, one in named.items()}
        every = entries(answer.told, name, target=self.target)
        return {read(lambda one: text(one, "id"), each, target=self.target): each for each in every}

    def _total(self, answer: Answer) -> int | None:
        """Return how many the provider says there are, in the answer or its headers; None where it does not."""
        told = entry(answer.told, target=self.target).get("total_count", answer.headers.get("x-total-count"))
        if told is None:
            return None
        if isinstance(told, bool) or not str(told).isdecimal():
            raise broken(f"that there are `{told}`", target=self.target)
        return int(str(told))

    def _refused(self, answer: Answer) -> SovbrokerError:
        """Return the error of an answer; never that something is missing, which is known of what was asked about."""
        kind, said = _said(answer)
        message = f"the provider answered {answer.status}{f', {kind}: {said}' if kind else ''}"
        if kind in WRONG:
            return InvalidArgument(f"{self.target}: {message}")
        return KINDS.get(kind, by_status(answer.status))(message, target=self.target)


def _said(answer: Answer) -> tuple[str, str]:
    """Return what the API calls its refusal, and its words; "" where the answer is not of its form."""
    told = answer.told
    if not isinstance(told, dict):
        return "", ""
    found = cast("dict[str, object]", told)
    kind, more = found.get("type"), [found.get(name) for name in ("message", "resource", "resource_id", "details")]
    words = " ".join(str(one) for one in more if one)
    return (kind, words[:SHOWN]) if isinstance(kind, str) and kind else ("", "")
