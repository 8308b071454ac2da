"""The connection to the services of one project in one region: tokens, calls, pages, and errors."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast
from urllib.parse import quote, urlencode, urlsplit

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
from sovbroker_adapters.answers import broken, entries, entry, text
from sovbroker_adapters.calls import Answer
from sovbroker_adapters.keystone import endpoints, lifetime, question, unsaid
from sovbroker_adapters.peers import own_machine
from sovbroker_adapters.rest import Call, Rest, by_status, endpoint_of
from sovbroker_adapters.settings import Reading

__all__ = ["COMPUTE", "IMAGE", "VOLUME", "Connection", "quoted"]

COMPUTE: Final = "compute"
VOLUME: Final = "volume"
IMAGE: Final = "image"
KINDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {COMPUTE: ("compute",), VOLUME: ("volumev3", "block-storage"), IMAGE: ("image",)}
)
"""What each service is called in a catalogue."""

VERSION: Final = MappingProxyType({"OpenStack-API-Version": "compute 2.1", "X-OpenStack-Nova-API-Version": "2.1"})
"""The version that every Nova has: later ones tell less of flavors, and nothing of security groups."""

MARGIN: Final = 60.0
PAGE: Final = 500
UNAUTHORIZED: Final = 401
SHOWN: Final = 300
REFUSALS: Final[Mapping[str, type[StoreError]]] = MappingProxyType(
    {
        "itemNotFound": NotFound,
        "forbidden": PermissionDenied,
        "unauthorized": PermissionDenied,
        "overLimit": Unavailable,
    }
)
"""What the services call their refusals, where it says more than the status does."""

WRONG: Final = frozenset({"badRequest", "conflictingRequest"})
FULL: Final = re.compile(
    r"quota exceeded|exceeds? .*\bquota|maximum number of \w+ exceeded|is over a limit for", re.IGNORECASE
)
"""What Nova says in a 403 that is no matter of rights but of a quota; it checks them before it makes anything."""


@dataclass(frozen=True, slots=True)
class Login:
    """A token, its project, and where each service of the region is; not used after `until`, of the monotonic clock."""

    token: str = field(repr=False)
    project: str
    services: Mapping[str, str]
    until: float


class Connection:
    """The services of one project in one region. Safe for threads and after a fork; not picklable: it holds secrets."""

    def __init__(self, binding: Binding) -> None:
        reading = Reading(binding)
        self.target = binding.target
        self.network = reading.text("network")
        self.group = reading.text("security-group")
        self.zone = reading.text("zone")
        self.volume_type = reading.text("volume-type")
        self.extra_specs = reading.switch("extra-specs")
        self.within = reading.number("within", 60)
        self._region = reading.text("region") or binding.region
        self._interface = reading.choice("interface", ("public", "internal"))
        self._binding = binding
        self._keystone = endpoint_of(binding)
        self._asked = question(binding.credentials, target=binding.target, project=binding.container)
        self._rest = Rest(binding, self._refused)
        self._login: Login | None = None
        unsaid()

    def __repr__(self) -> str:
        """Name the region, and no secret."""
        return f"Connection(target={self.target!r}, region={self._region!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled: it holds secrets")

    @property
    def project(self) -> str:
        """The id of the project that the token is for."""
        return self._now().project

    def ask(
        self,
        service: str,
        call: str,
        *,
        body: object = None,
        expected: Collection[int] = (200,),
        again: bool = False,
    ) -> Answer:
        """Make a call, such as `GET /servers`. A token that is not taken is replaced once: it has done nothing."""
        method, _, path = call.partition(" ")
        known = self._login
        for login in (self._now(), None):
            used = login or self._renewed()
            headers = {"X-Auth-Token": used.token, **(VERSION if service == COMPUTE else {})}
            url = f"{self._root(used, service)}{path}"
            old = used is known
            allowed = {*expected, UNAUTHORIZED} if old else expected
            answer = self._rest.ask(Call(method, url, body=body, headers=headers, expected=allowed, again=again))
            if answer.status != UNAUTHORIZED or not old:
                return answer
        raise AssertionError  # the second token is never an old one

    def told(self, service: str, call: str, **more: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as `ask` takes them
        """Make a call whose answer is an object. Raises Unavailable for any other."""
        return entry(self.ask(service, call, **more).told, target=self.target)

    def pages(self, service: str, path: str, name: str, **filters: str) -> Iterator[Mapping[str, Any]]:
        """Yield every object of a list. The marker of the next page is ours: no link of an answer is followed."""
        query = {"limit": str(PAGE), **filters}
        seen: set[str] = set()
        while True:
            answer = self.told(service, f"GET {path}?{urlencode(query)}", again=True)
            found = entries(answer, name, target=self.target)
            yield from found
            if not found or not self._more(answer, name):
                return
            last = found[-1].get("id")
            if not isinstance(last, str) or last in seen:
                raise broken("pages that lead in a circle", target=self.target)
            seen.add(last)
            query["marker"] = last

    def close(self) -> None:
        """Close the connections of this process."""
        self._rest.close()

    def _more(self, answer: Mapping[str, Any], name: str) -> bool:
        """Whether an answer says that there is another page: Glance by `next`, the others by a link."""
        if answer.get("next"):
            return True
        links = f"{name}_links"
        found = entries(answer, links, target=self.target) if answer.get(links) is not None else ()
        return any(link.get("rel") == "next" for link in found)

    def _now(self) -> Login:
        login = self._login
        return login if login is not None and time.monotonic() < login.until else self._renewed()

    def _renewed(self) -> Login:
        call = Call("POST", f"{self._keystone}/auth/tokens", body={"auth": self._asked}, expected=(201,), again=True)
        answer = self._rest.ask(call)
        token = answer.headers.get("x-subject-token", "")
        if not token or not token.isascii() or not token.isprintable():
            raise broken("the question for a token with none", target=self.target)
        found = entry(entry(answer.told, target=self.target).get("token"), target=self.target)
        try:
            project = text(entry(found.get("project"), target=self.target), "id")
        except ValueError as error:
            raise broken("with a token of no project", target=self.target) from error
        if self._binding.container not in {"", project}:
            message = f"the credentials are for the project `{project}`, and not for `{self._binding.container}`"
            raise PermissionDenied(message, target=self.target)
        if not isinstance(found.get("catalog"), list):
            raise broken("with a token without a catalogue", target=self.target)
        lives = lifetime(found)
        until = float("inf") if lives is None else time.monotonic() + max(0.0, lives - MARGIN)
        login = Login(token, project, {kind: self._place(found, kind) for kind in KINDS}, until)
        self._login = login
        return login

    def _place(self, token: Mapping[str, object], kind: str) -> str:
        """Return where a service of the region is, "" where the catalogue has none."""
        found = endpoints(token, KINDS[kind], interface=self._interface)
        here = {url.rstrip("/") for region, url in found if region == self._region}
        if len(here) > 1:
            raise broken(f"a catalogue with several services `{kind}` in `{self._region}`", target=self.target)
        return next(iter(here), "")

    def _root(self, login: Login, service: str) -> str:
        """Return a service's URL. Whoever gives tokens could name any place; only the allowed ones are asked."""
        url = login.services[service]
        if not url:
            message = f"the catalogue has no service `{service}` in the region `{self._region}`"
            raise StoreError(message, target=self.target)
        parts = urlsplit(url)
        secure = parts.scheme == "https" or (parts.scheme == "http" and own_machine(parts.hostname or ""))
        plain = parts.username is None and not parts.query and not parts.fragment
        if not (secure and plain and {".", ".."}.isdisjoint(parts.path.split("/"))):
            message = f"nothing was sent: the service `{service}` would be at `{url[:SHOWN]}`"
            raise PermissionDenied(message, target=self.target)
        return f"{url.removesuffix('/v2')}/v2" if service == IMAGE else url

    def _refused(self, answer: Answer) -> SovbrokerError:
        """Return the error of an answer. Only what a service itself calls missing is missing."""
        name, said = _named(answer)
        message = f"the provider answered {answer.status}{f', {name}: {said}' if name else ''}"
        if name == "forbidden" and FULL.search(said):
            return NoCapacity(message, target=self.target)
        if name in WRONG:
            return InvalidArgument(f"{self.target}: {message}")
        return REFUSALS.get(name, by_status(answer.status))(message, target=self.target)


def quoted(name: str) -> str:
    """Return an id as a part of a path."""
    # A part that is dots alone would lead up.
    return quote(name, safe="") if name.strip(".") else "%2E" * max(1, len(name))


def _named(answer: Answer) -> tuple[str, str]:
    """Return what a service calls its refusal, and its words; "" where the answer is not of its form."""
    told = answer.told
    for name, found in cast("dict[str, object]", told).items() if isinstance(told, dict) else ():
        if isinstance(found, dict):
            error = cast("dict[str, object]", found)
            if error.get("code") == answer.status:
                return name, str(error.get("message") or "")[:SHOWN]
    return "", ""
