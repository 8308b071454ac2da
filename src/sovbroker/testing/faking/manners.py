"""How a provider behaves, as far as its settings tell: what it offers, and what it takes at most."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Final

from sovbroker.errors import InvalidArgument, NotSupported
from sovbroker.ports import Feature, Limits, Part, Support

__all__ = ["Manners", "Settings"]

Settings = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Preset:
    """What an adapter's services offer and take where the settings say nothing else: all is native but `offers`."""

    limits: Limits
    offers: Mapping[Feature, Support] = field(default_factory=dict[Feature, Support])


S3: Final = Preset(Limits(), {Feature.CONDITIONAL_PUT: Support.ABSENT, Feature.RETENTION: Support.ABSENT})
"""What holds for a stranger's adapter, too: the least that services have in common."""

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "s3": S3,
        "azure": Preset(
            Limits(metadata_max=4096, put_max=5000 << 20, part_min=1, part_max=4000 << 20, parts_max=50_000),
            {Feature.MULTIPART: Support.EMULATED, Feature.RETENTION: Support.ABSENT},
        ),
        "gcs": Preset(Limits(part_min=1), {Feature.MULTIPART: Support.EMULATED, Feature.RETENTION: Support.ABSENT}),
        "swift": Preset(
            Limits(part_min=1, parts_max=1000),
            {
                Feature.CONDITIONAL_PUT: Support.UNSAFE,
                Feature.MULTIPART: Support.EMULATED,
                Feature.RETENTION: Support.ABSENT,
            },
        ),
        "webdav": Preset(
            Limits(metadata_max=0, put_max=1 << 50),
            {
                Feature.CONDITIONAL_PUT: Support.ABSENT,
                Feature.METADATA: Support.ABSENT,
                Feature.SET_METADATA: Support.ABSENT,
                Feature.MULTIPART: Support.ABSENT,
                Feature.DELIMITER: Support.EMULATED,
                Feature.ORDERED_LIST: Support.EMULATED,
                Feature.RETENTION: Support.ABSENT,
            },
        ),
        "local": Preset(
            Limits(metadata_max=1 << 16, put_max=1 << 50, part_min=1, part_max=1 << 50),
            {Feature.RETENTION: Support.ABSENT},
        ),
        "memory": Preset(Limits(part_min=1)),
    }
)
"""By the name of the adapter."""

OWN: Final = frozenset({"local", "memory"})
ALTERED: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
FILE_NAME_MAX: Final = 255


class Manners:
    """The limits and capabilities of one target, and the refusals that follow from them."""

    def __init__(self, target: str, *, adapter: str, settings: Settings) -> None:
        preset = PRESETS.get(adapter, S3)
        given = {f.name: settings[f.name] for f in fields(Limits) if f.name in settings}
        self.target = target
        self.limits = replace(preset.limits, **{name: int(value) for name, value in given.items()})
        offered = dict.fromkeys(Feature, Support.NATIVE) | dict(preset.offers)
        offered |= {f: Support(str(settings[f])) for f in Feature if f in settings}
        # A link leads to a server, and there is none.
        offered[Feature.PRESIGN] = Support.ABSENT
        self.capabilities: Mapping[Feature, Support] = MappingProxyType(offered)
        self._exact = adapter in OWN
        self._files = settings.get("keys") == "files"

    def need(self, feature: Feature, key: str | None = None) -> None:
        """Raise NotSupported unless the provider offers a feature in a way to be relied on."""
        support = self.capabilities[feature]
        if not support.usable:
            message = f"`{feature}` is {support} at this store; its capabilities say so beforehand"
            raise NotSupported(message, target=self.target, key=key)

    def check_key(self, key: str) -> None:
        """Raise InvalidArgument for a key that the provider would change. Its length is the memory's to check."""
        segments = key.split("/")
        if not self._exact and (ALTERED.search(key) or not {".", ".."}.isdisjoint(segments)):
            raise InvalidArgument(f"the key {key!a} has a control character, or a segment `.` or `..`")
        if self._files and any(
            not segment or len(segment.encode("utf-8", "surrogatepass")) > FILE_NAME_MAX for segment in segments
        ):
            raise InvalidArgument(
                f"a part of the key `{key[:80]}` is empty or longer than {FILE_NAME_MAX} bytes; this store keeps files"
            )

    def check_size(self, size: int, *, part: bool = False) -> None:
        """Raise InvalidArgument for more than one request may hold."""
        most = self.limits.part_max if part else self.limits.put_max
        if size > most:
            raise InvalidArgument(f"{size} bytes are more than the {most} that one request may hold here")

    def check_parts(self, parts: list[Part]) -> None:
        """Raise InvalidArgument when any part but the last is too short."""
        for part in sorted(parts, key=lambda part: part.number)[:-1]:
            if part.size < self.limits.part_min:
                raise InvalidArgument(
                    f"part {part.number} has {part.size} bytes, and all but the last need {self.limits.part_min} here"
                )
