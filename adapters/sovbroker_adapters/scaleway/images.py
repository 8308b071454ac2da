"""Images: the provider's own, by the labels of its marketplace, and those of projects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sovbroker.errors import InvalidArgument, NotFound
from sovbroker.machines import Image, ImageSource
from sovbroker_adapters.answers import broken, entry, read, text
from sovbroker_adapters.launches import named
from sovbroker_adapters.scaleway import told
from sovbroker_adapters.scaleway.client import INSTANCE, MARKETPLACE, Connection

__all__ = ["PROVIDER", "Images"]

PROVIDER: Final = "51b656e3-4865-41e8-adbc-0c45bdd780db"
"""The organisation of the provider's own images."""

ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Images:
    """The images that one project can launch in one zone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._target = connection.target
        self._path = f"{INSTANCE}/{connection.zone}/images"

    def of(self, source: ImageSource) -> Sequence[Image]:
        """Return the images of an owner: of the provider's, those that it offers now, whose name is their label."""
        if not source.owner:
            raise InvalidArgument(
                f"{self._target}: name the project that owns the image, or `{PROVIDER}`, the provider"
            )
        if source.owner == PROVIDER:
            return [image for label in self._labels(source.pattern) for image in self._offered(label)]
        listed = self._connection.listed(self._path, "images", size="per_page", project=source.owner)
        found = [
            read(lambda one: told.image(one, owner="project"), one, target=self._target)
            for one in listed.values()
            if one.get("state") == "available" and not _unfit(one)
        ]
        return [one for one in found if one.owner == source.owner and named(one.name, source.pattern)]

    def check(self, image: str) -> None:
        """Raise NotFound for an image that is not there, InvalidArgument for one that makes other disks than one."""
        if ID.fullmatch(image) is None:
            raise NotFound(f"there is no image `{image}`", target=self._target)
        if why := _unfit(self._found(image)):
            raise InvalidArgument(f"{self._target}: the image `{image}` {why}")

    def _labels(self, pattern: str) -> Sequence[str]:
        listed = self._connection.listed(f"{MARKETPLACE}/images", "images", include_eol="false")
        labels = [read(lambda one: text(one, "label"), one, target=self._target) for one in listed.values()]
        return sorted({label for label in labels if named(label, pattern)})

    def _offered(self, label: str) -> Sequence[Image]:
        """Return what a label means in the zone. The service that launches them says whose they are."""
        filters = {"image_label": label, "zone": self._connection.zone, "type": "instance_sbs"}
        offered = self._connection.listed(f"{MARKETPLACE}/local-images", "local_images", **filters)
        found = list[Image]()
        for key in offered:
            told_of = self._found(key)
            image = read(lambda one: told.image(one, name=label, owner="organization"), told_of, target=self._target)
            if image.owner != PROVIDER:
                raise broken(f"an image of `{image.owner}` as its own", target=self._target)
            if not _unfit(told_of):
                found.append(image)
        return found

    def _found(self, image: str) -> Mapping[str, Any]:
        found = self._connection.told(f"GET {self._path}/{image}", "image", again=True, about=image)
        if found.get("id") != image:
            raise broken(f"nothing of `{image}`, which it was asked about", target=self._target)
        return entry(found, target=self._target)


def _unfit(found: Mapping[str, Any]) -> str:
    """Say why a machine of an image would have other disks than one on Block Storage; "" where it would not."""
    root: Mapping[str, Any] = found.get("root_volume") or {}
    if root.get("volume_type") != told.BLOCK_SNAPSHOT:
        return "is not on Block Storage; make one there"
    return "has more than one disk" if found.get("extra_volumes") else ""
