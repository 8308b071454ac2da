"""The compute half, awaited: everything that it has, with the same arguments."""

import inspect

import pytest

from sovbroker.aio.machines import AsyncCompute, AsyncSshKeys, AsyncVolumes
from sovbroker.compute import Compute
from sovbroker.compute.sshkeys import SshKeys
from sovbroker.compute.volumes import Volumes

PAIRS = [(Compute, AsyncCompute), (Volumes, AsyncVolumes), (SshKeys, AsyncSshKeys)]
METHODS = [
    (theirs, ours, name)
    for theirs, ours in PAIRS
    for name, value in vars(theirs).items()
    if inspect.isfunction(value) and not name.startswith("_") and name != "close"
]


@pytest.mark.parametrize(("theirs", "ours", "name"), METHODS)
def test_a_method_takes_the_same_and_is_awaited(theirs, ours, name):
    method = getattr(ours, name)
    assert inspect.iscoroutinefunction(method)
    assert inspect.signature(method).parameters == inspect.signature(getattr(theirs, name)).parameters


def test_there_is_everything():
    assert len(METHODS) > 15
    assert {"keys", "places", "volumes"} <= vars(AsyncCompute).keys()
