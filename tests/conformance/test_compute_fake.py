"""The suite on the provider that tests are made with, with every feature and with none."""

import contextlib

import pytest

from sovbroker.machines import ComputeFeature, ImageSource, Launch
from sovbroker.testing.conformance.machines import ComputeSuite
from sovbroker.testing.machines import FakeCompute


class TestFake(ComputeSuite):
    absent = "i-000000"
    no_room = ("none left",)

    @pytest.fixture
    def full(self, compute):
        @contextlib.contextmanager
        def full(how):
            compute.full = how
            yield
            compute.full = ""

        return full

    @pytest.fixture
    def compute(self):
        return FakeCompute()

    @pytest.fixture
    def wanted(self):
        return Launch(token="launch-01", name="one", size="small", image="image-1", tags={"a": "b"})

    @pytest.fixture
    def source(self):
        return ImageSource("debian", "debian-*")


class TestPlain(TestFake):
    """A provider that can do next to nothing says so."""

    @pytest.fixture
    def compute(self):
        return FakeCompute(absent=frozenset(ComputeFeature))

    @pytest.fixture
    def wanted(self):
        return Launch(token="launch-01", name="one", size="small", image="image-1")
