"""The settings of one lane, read from its binding: those that the store beside has, as far as they can be honoured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sovbroker.ports import Binding
from sovbroker_adapters.settings import Reading

__all__ = ["PROTOCOLS", "Settings"]

PROTOCOLS: Final = ("s3", "azure")
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60})
ADDRESSING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"s3": ("path", "virtual"), "azure": ("host", "path")}
)
VERSION: Final = "2023-11-03"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, each with its default filled in; `sovbroker_adapters.obstore` says what they mean."""

    protocol: str
    addressing: str
    checksums: bool
    digests: bool
    anonymous: bool
    attempts: int
    connect_timeout: int
    read_timeout: int
    account: str | None

    @classmethod
    def of(cls, binding: Binding) -> Settings:
        """Read the settings of a binding. Raises ConfigError for one that object_store does not honour.

        Whether there is such a setting at all, the adapter of the store beside has said already.
        """
        reader = Reading(binding)
        protocol = reader.choice("protocol", PROTOCOLS)
        for name, only in (("signature", "s3v4"), ("api-version", VERSION)):
            value = binding.settings.get(name, only)
            if value != only:
                raise reader.wrong(name, f"`{value}` is not spoken by `fast: true`, which knows `{only}` only")
        for name in ("ca-bundle", "ambient", *(("anonymous",) if protocol == "azure" else ())):
            if binding.settings.get(name):
                raise reader.wrong(name, "it cannot be honoured with `fast: true`; remove one of the two")
        return cls(
            protocol=protocol,
            addressing=reader.choice("addressing", ADDRESSING[protocol]),
            checksums=reader.choice("checksums", ("when-required", "when-supported")) == "when-supported",
            digests=protocol == "s3" and reader.choice("etags", ("md5", "opaque")) == "md5",
            anonymous=reader.switch("anonymous"),
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            account=reader.text("account"),
        )
