"""Images by the names that people call them, and whose they are at each provider.

Anybody may publish an image under any name, and the newest one of a name is somebody else's sooner or later. So a name
means an owner and a pattern, and what is launched is the newest image of that owner.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from sovbroker.errors import InvalidArgument, NotFound
from sovbroker.machines import ComputeProvider, Image, ImageSource

__all__ = ["SOURCES", "resolve_image"]

SOURCES: Final[Mapping[str, Mapping[str, ImageSource]]] = MappingProxyType(
    {
        # https://wiki.debian.org/Cloud/AmazonEC2Image names Debian's account, Canonical's pages name theirs.
        "ec2": {
            "debian-12": ImageSource("136693071363", "debian-12-*"),
            "debian-13": ImageSource("136693071363", "debian-13-*"),
            "ubuntu-22.04": ImageSource("099720109477", "ubuntu/images/hvm-ssd*/ubuntu-jammy-22.04-*-server-*"),
            "ubuntu-24.04": ImageSource("099720109477", "ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-*-server-*"),
        },
        # Official images are those of the account alias Outscale.
        "outscale": {
            "debian-12": ImageSource("Outscale", "Debian-12-*"),
            "ubuntu-22.04": ImageSource("Outscale", "Ubuntu-22.04-*"),
            "ubuntu-24.04": ImageSource("Outscale", "Ubuntu-24.04-*"),
        },
        # A project sees the provider's own public images, and nobody else's.
        "ovhcloud": {
            "debian-12": ImageSource("", "Debian 12"),
            "debian-13": ImageSource("", "Debian 13"),
            "ubuntu-22.04": ImageSource("", "Ubuntu 22.04"),
            "ubuntu-24.04": ImageSource("", "Ubuntu 24.04"),
        },
        "gce": {
            "debian-12": ImageSource("debian-cloud", "debian-12-*"),
            "debian-13": ImageSource("debian-cloud", "debian-13-*"),
            "ubuntu-24.04": ImageSource("ubuntu-os-cloud", "ubuntu-2404-*"),
        },
        "azure-arm": {
            "debian-12": ImageSource("Debian", "debian-12:12-gen2"),
            "ubuntu-24.04": ImageSource("Canonical", "ubuntu-24_04-lts:server"),
        },
        # What the marketplace has is of the provider's own organisation, and called by labels.
        "scaleway": {
            "debian-12": ImageSource("51b656e3-4865-41e8-adbc-0c45bdd780db", "debian_bookworm"),
            "ubuntu-22.04": ImageSource("51b656e3-4865-41e8-adbc-0c45bdd780db", "ubuntu_jammy"),
            "ubuntu-24.04": ImageSource("51b656e3-4865-41e8-adbc-0c45bdd780db", "ubuntu_noble"),
        },
    }
)
"""What names mean, by adapter. `compute` in the configuration says it of others, or otherwise."""

ID: Final = "id:"
"""What stands before an image that is not called by a name."""

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def resolve_image(
    name: str, *, arch: str, provider: ComputeProvider, adapter: str, own: Mapping[str, ImageSource]
) -> Image:
    """Return the image that a name means at a provider now: the newest of its owner, of this architecture.

    `id:…` is an image's own id. `own` are the sources of the configuration. Raises InvalidArgument for a name that
    means nothing there, NotFound where there is no such image.
    """
    if name.startswith(ID):
        return Image(name.removeprefix(ID), name, arch=arch)
    sources = {**SOURCES.get(adapter, {}), **own}
    source = sources.get(name)
    if adapter == "local":
        source = source or ImageSource("root", name)
    if source is None:
        close = difflib.get_close_matches(name, sources, n=1)
        hint = f"did you mean `{close[0]}`?" if close else "say its owner and pattern under `images`, or write `id:ID`"
        raise InvalidArgument(f"`{name}` names no image at {provider.target}; {hint}")
    found = [image for image in provider.images(source) if image.arch == arch]
    if not found:
        owned = f" of `{source.owner}`" if source.owner else ""
        raise NotFound(f"there is no image `{source.pattern}`{owned} for {arch}", target=provider.target)
    return max(found, key=lambda image: (image.created or LONG_AGO, image.id))
