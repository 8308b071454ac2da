"""The suite on the machines of this machine, as plain processes: sandboxes are tested where bubblewrap is."""

import pytest

from sovbroker.errors import ConfigError
from sovbroker.machines import ImageSource, Launch
from sovbroker.ports import Binding
from sovbroker.testing.conformance.machines import ComputeSuite
from sovbroker_adapters.sandbox import build


class TestProcesses(ComputeSuite):
    absent = "not-there"

    @pytest.fixture
    def compute(self, tmp_path):
        opened = build(Binding("local", str(tmp_path), settings={"isolation": "none"}))
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

    def test_another_process_finds_and_ends_it(self, compute, wanted, tmp_path):
        made = compute.launch(wanted)
        other = build(Binding("local", str(tmp_path), settings={"isolation": "none"}))
        assert other.machine(made.id).state == made.state
        other.stop(made.id)
        assert compute.machine(made.id).state == "stopped"

    def test_what_a_machine_lays_beside_its_volumes_is_no_volume(self, compute, wanted, tmp_path):
        """It may write there what it likes: names of volumes, links out, and nothing that is told of it is believed."""
        made, volume = compute.launch(wanted), compute.create_volume("data", size=1)
        compute.attach(volume.id, made.id)
        mounted = tmp_path / "machines" / made.id / "mnt"
        (mounted / "v-0123456789abcdef").mkdir()
        (mounted / "v-fedcba9876543210").symlink_to(tmp_path)
        (mounted / "notes").write_text("x")
        (mounted / volume.id / ".volume.json").write_text('{"name": "other", "size": 9, "tags": {"a": "b"}}')
        (told,) = compute.volumes()
        assert (told.id, told.name, told.size, dict(told.tags), told.machine) == (volume.id, "data", 1, {}, made.id)
        compute.destroy(made.id)
        (told,) = compute.volumes()
        assert (told.id, told.machine) == (volume.id, None)
        compute.destroy_volume(volume.id)
        assert list((tmp_path / "volumes").iterdir()) == []

    def test_without_bubblewrap_isolation_has_to_be_renounced(self, tmp_path, monkeypatch):
        monkeypatch.setattr("sovbroker_adapters.sandbox.shutil.which", lambda name: None)
        with pytest.raises(ConfigError, match="isolation: none"):
            build(Binding("local", str(tmp_path)))
