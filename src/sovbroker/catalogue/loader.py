"""The catalogue as a whole: providers by id, targets by reference, and how to reach each."""

from __future__ import annotations

import difflib
import hashlib
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sovbroker.catalogue.facts import Target
from sovbroker.catalogue.provider import DEFAULT_OFFER, Provider
from sovbroker.catalogue.schema import CODES, PROVIDER
from sovbroker.document import Findings, decode, read
from sovbroker.errors import ConfigError

__all__ = ["Catalogue", "Connection", "load"]

SUFFIX: Final = ".yaml"
REFERENCE: Final = re.compile(r"(?P<provider>[a-z0-9-]+)/(?:(?P<offer>[a-z0-9-]+)@)?(?P<region>[a-z0-9-]+)")
PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the storage of a target.

    `adapter` and `template` are None where the operator must bring an endpoint; `supply` then says from where.
    `parameters` are the names that the operator fills in: an account, a namespace.
    """

    target: str
    adapter: str | None
    template: str | None
    region: str
    supply: str = ""
    settings: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])

    @property
    def parameters(self) -> tuple[str, ...]:
        """The placeholders of the endpoint, in order."""
        return tuple(PLACEHOLDER.findall(self.template or ""))

    def endpoint(self, parameters: Mapping[str, str]) -> str:
        """Return the endpoint's URL. Raises ConfigError that names a parameter that is missing or unknown."""
        if self.template is None:
            raise ConfigError(f"no endpoint is known for `{self.target}`: {self.supply}")
        wanted = set(self.parameters)
        if set(parameters) != wanted:
            names = ", ".join(f"`{name}`" for name in self.parameters) or "none"
            raise ConfigError(f"`{self.target}` needs these `parameters`: {names}")
        for name, value in parameters.items():
            if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", value) is None:
                raise ConfigError(f"the parameter `{name}` of `{self.target}` is a name of letters, digits and -")
        return self.template.format_map(parameters)

    def hosts(self, parameters: Mapping[str, str], *, bucket: str) -> frozenset[str]:
        """Return the hosts that may be talked to: the endpoint's, and the bucket's own where buckets are host names."""
        host = urlsplit(self.endpoint(parameters)).netloc
        own = {f"{bucket}.{host}"} if self.settings.get("addressing") == "virtual" else set[str]()
        return frozenset({host} | own)


class Catalogue:
    """The providers of a folder, one YAML file each, read when they are first asked for."""

    def __init__(self, folder: Traversable) -> None:
        self._files = {item.name.removesuffix(SUFFIX): item for item in folder.iterdir() if item.name.endswith(SUFFIX)}
        self._read: dict[str, Provider] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Count the providers."""
        return f"<catalogue of {len(self._files)} providers>"

    @property
    def providers(self) -> Sequence[str]:
        """The ids of the providers, sorted."""
        return sorted(self._files)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the names and bytes of all files: the same facts, the same digest, on every machine."""
        whole = hashlib.sha256()
        for name in self.providers:
            data = self._files[name].read_bytes()
            whole.update(f"{name}\0{len(data)}\0".encode() + data)
        return whole.hexdigest()

    def provider(self, name: str) -> Provider:
        """Return a provider. Raises ConfigError with a suggestion, or when its file is not as it should be."""
        with self._lock:
            if name not in self._read:
                if name not in self._files:
                    raise ConfigError(f"unknown provider `{name}`; {_hint(name, self._files)}")
                self._read[name] = self._decode(name)
            return self._read[name]

    def _decode(self, name: str) -> Provider:
        findings = Findings(CODES)
        provider = decode(read(self._files[name].read_bytes(), f"{name}{SUFFIX}", findings), PROVIDER, findings)
        if provider is None or findings.failed:
            raise ConfigError("\n\n".join(str(found) for found in findings.diagnostics))
        if provider.id != name:
            raise ConfigError(f"the file `{name}{SUFFIX}` describes `{provider.id}`; they must have one name")
        return provider

    def target(self, reference: str) -> Target:
        """Return the target that `provider/region` or `provider/offer@region` names. Raises ConfigError."""
        provider, offer, region = self._parse(reference)
        return provider.target(region, offer=offer)

    def targets(self, offer: str = DEFAULT_OFFER) -> tuple[Target, ...]:
        """Return a target for every region of every provider, sorted by id."""
        every = (self.provider(name) for name in self.providers)
        return tuple(
            sorted((p.target(region, offer=offer) for p in every for region in p.regions), key=lambda target: target.id)
        )

    def connection(self, reference: str) -> Connection:
        """Return how to reach the storage of a target. Raises ConfigError for a target that is unknown."""
        provider, _, region = self._parse(reference)
        storage = provider.storage
        template = storage.endpoints.get(region)
        if template is None and storage.endpoint is not None:
            template = storage.endpoint.value
        supply = storage.supply or (
            "" if template else f"the catalogue knows none for {region}; give the one of your contract"
        )
        return Connection(
            target=reference,
            adapter=storage.adapter,
            template=None if template is None else template.replace("{region}", region),
            region=storage.signing_region or region,
            supply=supply,
            settings={name: int(value) if value.isdigit() else value for name, value in storage.settings.items()},
        )

    def _parse(self, reference: str) -> tuple[Provider, str, str]:
        found = REFERENCE.fullmatch(reference)
        if found is None:
            raise ConfigError(
                f"`{reference}` names no target; write `provider/region`, such as `{self._example()}`, or "
                "`provider/offer@region`"
            )
        provider = self.provider(found["provider"])
        region = found["region"]
        if region not in provider.regions:
            raise ConfigError(f"`{provider.id}` has no region `{region}`; {_hint(region, provider.regions)}")
        return provider, found["offer"] or DEFAULT_OFFER, region

    def _example(self) -> str:
        name = "ovhcloud" if "ovhcloud" in self._files else self.providers[0]
        return f"{name}/{next(iter(self.provider(name).regions), 'region')}"


def load(path: Path | None = None) -> Catalogue:
    """Return the catalogue of a folder; None: the one that is shipped."""
    return Catalogue(path if path is not None else files("sovbroker.catalogue") / "providers")


def _hint(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(names)}"
