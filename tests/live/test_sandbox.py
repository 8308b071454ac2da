"""The suite on sandboxes of bubblewrap, and what a machine sees in one."""

import time

import pytest

from sovbroker.machines import ImageSource, Launch
from sovbroker.ports import Binding
from sovbroker.testing.conformance.machines import ComputeSuite
from sovbroker_adapters.sandbox import build


class TestSandbox(ComputeSuite):
    absent = "not-there"

    @pytest.fixture
    def compute(self, tmp_path):
        opened = build(Binding("local", str(tmp_path)))
        yield opened
        for machine in opened.machines():
            opened.destroy(machine.id)
        opened.close()

    @pytest.fixture
    def wanted(self):
        return Launch(token="launch-01", name="one", size="small", image="host", tags={"sovbroker-launch": "launch-01"})

    @pytest.fixture
    def source(self):
        return ImageSource("root", "host")

    def test_a_script_runs_in_a_world_of_its_own(self, compute, tmp_path):
        (tmp_path / "secret").write_text("of the host")
        script = f"#!/bin/sh\nid -u; ls $HOME -A; cat {tmp_path}/secret; ls /home /etc; echo done >$HOME/result\n"
        made = compute.launch(Launch("launch-02", "job", "small", "host", user_data=script.encode()))
        disk = tmp_path / "machines" / made.id / "disk"
        end = time.monotonic() + 20
        while not (disk / ".exit").exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert (disk / "result").read_text() == "done\n"
        log = (disk / ".log").read_text()
        assert "of the host" not in log
        assert "No such file" in log
