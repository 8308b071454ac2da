"""What a machine without Ceph is told; `tests/live/test_ceph.py` runs it."""

import pytest

from sovbroker.errors import ConfigError
from sovbroker.testing import ceph


@pytest.mark.parametrize("missing", ceph.PROGRAMS)
def test_a_missing_program_is_named_with_what_to_install(tmp_path, monkeypatch, missing):
    for program in ceph.PROGRAMS:
        if program != missing:
            (tmp_path / program).write_text("#!/bin/sh\nexit 1\n")
            (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=f"there is no `{missing}` .* apt-get install .*radosgw"), ceph.ceph_rgw():
        pass


def test_what_ceph_printed_is_told_when_it_fails(tmp_path, monkeypatch):
    for program in ceph.PROGRAMS:
        (tmp_path / program).write_text("#!/bin/sh\necho the disk is full >&2; exit 1\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"`monmaptool --create .* failed: the disk is full"), ceph.ceph_rgw():
        pass
