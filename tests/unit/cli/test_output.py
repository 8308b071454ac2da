"""Files that appear whole, or not at all."""

import os
import stat
from pathlib import Path

import pytest

from sovbroker.cli.output import file_sink, private_file, sink_of
from sovbroker.errors import InvalidArgument


def write(path, data):
    with file_sink(path) as file:
        file.write(data)


def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "f", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640
    assert (tmp_path / "f").read_bytes() == b"new"


def test_a_replaced_file_keeps_its_mode(tmp_path):
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "f").chmod(0o604)
    write(tmp_path / "f", b"new")
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o604


def test_nobody_else_reads_it_while_it_grows(tmp_path):
    with file_sink(tmp_path / "f") as file:
        file.write(b"half")
        (part,) = tmp_path.iterdir()
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        assert part.name.endswith(".part")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "f").write_bytes(b"old")

    def fail():
        with file_sink(tmp_path / "f") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"f": b"old"}


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path):
    (tmp_path / "f").write_bytes(b"old")
    with (tmp_path / "f").open("rb") as reader:
        write(tmp_path / "f", b"new")
        assert reader.read() == b"old"


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_long_name(tmp_path):
    write(tmp_path / ("n" * 250), b"new")
    assert (tmp_path / ("n" * 250)).read_bytes() == b"new"


def test_a_device_is_written_to(tmp_path):
    with sink_of("/dev/null", name="x") as sink:
        sink.write(b"gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_private_file_is_new_and_private(tmp_path):
    private_file(tmp_path / "t", "secret")
    assert stat.S_IMODE((tmp_path / "t").stat().st_mode) == 0o600
    with pytest.raises(InvalidArgument, match="not there yet"):
        private_file(tmp_path / "t", "other")
    assert (tmp_path / "t").read_text() == "secret"
