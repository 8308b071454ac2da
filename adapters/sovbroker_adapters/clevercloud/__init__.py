"""Applications of Clever Cloud, by its API over httpx: no machines of one's own, but places where code runs.

`Binding.endpoint` is the API, `https://api.clever-cloud.com/v2`; `hosts` the only hosts that a request may go to.
`region` is the zone, `container` the organisation (`orga_…`, or `user_…`). The credentials are `consumer_key`,
`consumer_secret`, `token` and `token_secret` (OAuth 1, HMAC-SHA512). Settings:

================== ============================ ==================================================================
`repository`       URL, required                the public git repository that is deployed
`branch`           text                         its branch; without it `master`
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds    how long an answer may take
`attempts`         int (default 3)              how often a request is made that changes nothing twice
================== ============================ ==================================================================

Paths and bodies are those of the provider's own clients; none of it was tried at the provider. To launch is to make an
application in the zone and to deploy the repository there, once. An image is a runtime (`docker`, `python`), a size
one of its flavors. Tags are JSON in the variable SOVBROKER_TAGS, given with the application; they cost a call for each.
What a machine has and an application lacks is absent: a script at the first start, keys, volumes. So is stopping: the
API can do it, but no disk outlives a deployment, and a stopped machine keeps its own. To reboot is to deploy again.
Whether an application is there is known from the list alone. `visibility` has no count; its canary is the organisation.
Neither the environment nor `clever-tools.json` is looked at. Prices are not told.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.settings import Reading

if TYPE_CHECKING:
    from sovbroker_adapters.clevercloud.applications import Applications

__all__ = ["build"]

MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[clever-cloud]'`"
KNOWN: Final = ("repository", "branch", "connect-timeout", "read-timeout", "attempts")
SECRETS: Final = ("consumer_key", "consumer_secret", "token", "token_secret")
OWNER: Final = re.compile(r"(orga|user)_[A-Za-z0-9-]{1,64}")


def build(binding: Binding, /) -> Applications:
    """Open the applications of an organisation in a zone. Raises ConfigError; makes no request."""
    try:
        import_module("httpx")
        import_module("certifi")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    reading = Reading(binding)
    reading.check_names(KNOWN)
    lacking = [name for name in SECRETS if not binding.credentials.get(name)]
    if lacking:
        raise ConfigError(f"{binding.target}: no credentials: give {', '.join(f'`{name}`' for name in lacking)}")
    if OWNER.fullmatch(binding.container) is None:
        raise ConfigError(f"{binding.target}: `{binding.container}` is no organisation; give `orga_…` or `user_…`")
    if not binding.region:
        raise ConfigError(f"{binding.target}: no region: applications are in a zone, such as `par`")
    if not (reading.url("repository") or "").startswith("https://"):
        raise reading.wrong("repository", "give the https:// URL of the public git repository that is deployed")
    from sovbroker_adapters.clevercloud.applications import Applications  # noqa: PLC0415 - it needs httpx
    from sovbroker_adapters.clevercloud.client import Connection  # noqa: PLC0415 - as above

    return Applications(Connection(binding))
