"""One server a provider, each behind a recorder: so that a request which comes to the wrong one is seen.

::

    with Providers({"ovhcloud/gra": moto_of_ovh, "outscale/eu-west-2": moto_of_outscale}) as providers:
        …                                     # a broker whose targets have the endpoints `providers.url(…)`
        providers.check(broker)               # AssertionError: what came to whom, and should not have

Servers of one kind have one namespace of buckets each. If several providers shared one, or an adapter took the endpoint
of another target, every object would be found again all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from sovbroker.broker import Broker
from sovbroker.testing.recorder import Recorder

__all__ = ["Asked", "Providers"]

METHODS: Final = b"GET|HEAD|PUT|POST|PATCH|DELETE|OPTIONS|PROPFIND|MKCOL|MOVE|COPY"
REQUEST: Final = re.compile(rb"(" + METHODS + rb") (\S+) HTTP/1\.[01]\r\n((?:[^\r\n]+\r\n)*)\r\n")
HOST: Final = re.compile(rb"(?im)^host:[ \t]*([^\r\n]*)\r$")
BEGUN: Final = 1024
VERSION: Final = re.compile(r"@([0-9a-v]{24})(?![0-9a-v])")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came to a provider: `host` is whom it named, `version` the object's, "" for none."""

    provider: str
    method: str
    path: str
    host: str
    version: str


class Providers:
    """The servers behind the targets of a test, each by the target's id and its `host:port`."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        if len(set(hosts.values())) != len(hosts):
            raise AssertionError(f"two targets share one server, so that no wrong way could be seen: {dict(hosts)}")
        self._recorder = Recorder()
        self._urls = {target: self._recorder.in_front_of(target, host) for target, host in hosts.items()}

    def url(self, target: str) -> str:
        """Return the endpoint of a target: its server, with the recorder before it."""
        return self._urls[target]

    def asked(self, target: str | None = None) -> Sequence[Asked]:
        """Return the requests that came to the server of a target, or to all of them."""
        return [
            request
            for tape in self._recorder.tapes(target, direction="sent")
            for request in _requests(tape.target, bytes(tape.data))
        ]

    def check(self, broker: Broker) -> None:
        """Assert that each request came to the provider that it named, and each object to those that its row names.

        Every copy of a row must have been asked for where the row says that it lies, and no other provider. Fails also
        where nothing was asked at all.
        """
        __tracebackhide__ = True
        requests = self.asked()
        if not requests:
            raise AssertionError("no provider was asked anything, so nothing is asserted")
        rows = {
            info.version: {copy.target for copy in info.copies}
            for key in _keys(broker)
            for info in broker.versions(key)
        }
        rows |= {item.version: {*rows.get(item.version, ()), item.target} for item in broker.leftovers()}
        wrong = [
            f"{one.provider} was asked for what belongs to {one.host}: {one.method} {one.path}"
            for one in requests
            if one.host != urlsplit(self._urls[one.provider]).netloc
        ]
        wrong += [
            f"{one.provider} was asked for an object of {', '.join(sorted(rows[one.version]))}: {one.method} {one.path}"
            for one in requests
            if one.version in rows and one.provider not in rows[one.version]
        ]
        for version, targets in rows.items():
            reached = {one.provider for one in requests if one.version == version}
            wrong += [f"{target} was never asked for its copy of version {version}" for target in targets - reached]
        if wrong:
            raise AssertionError("\n".join(dict.fromkeys(wrong)))

    def close(self) -> None:
        """Stop the recorders; the servers are left to whoever started them."""
        self._recorder.close()

    def __enter__(self) -> Self:
        """Return the providers."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.close()


def _keys(broker: Broker) -> Iterator[str]:
    for entry in broker.list():
        key = getattr(entry, "key", None)
        if isinstance(key, str):
            yield key


def _requests(provider: str, sent: bytes) -> Iterator[Asked]:
    """Read the requests of one connection. A name may also stand where a body begins, before the object's own bytes."""
    found = [match for match in REQUEST.finditer(sent) if HOST.search(match[3])]
    ends = [match.start() for match in found[1:]] + [len(sent)]
    for match, end in zip(found, ends, strict=True):
        host = HOST.search(match[3])
        path = unquote(match[2].decode("latin-1"))
        begun = sent[match.end() : min(end, match.end() + BEGUN)].decode("latin-1")
        version = VERSION.search(path) or VERSION.search(begun)
        yield Asked(provider, match[1].decode(), path, host[1].decode() if host else "", version[1] if version else "")
