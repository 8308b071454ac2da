"""What tests of sovbroker, of its adapters and of programs on top of it need. Needs the extra `test`.

- `conformance`: the suites that an adapter must pass; `StoreSuite` is subclassed in ten lines.
- `servers`: real S3 servers on this machine.
- `chaos`: a proxy that breaks connections and answers as scripted.
- `recorder`: a proxy that keeps what passes, to prove that a secret never did.
"""

from __future__ import annotations

from contextlib import suppress

# So that pytest explains the suites' assertions; it must be told before they are imported. The servers and proxies
# work without pytest.
with suppress(ModuleNotFoundError):
    import pytest

    pytest.register_assert_rewrite("sovbroker.testing.conformance")
