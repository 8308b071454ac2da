"""Keys that are rotated: whatever breaks, and wherever the process ends, the pair in use works."""

import os
import signal
import stat

import pytest

from sovbroker.accounts import CURRENT, KeyFolder, find_accounts, owner_of, rotate
from sovbroker.errors import ConfigError, NotFound, PermissionDenied, StoreError, Unavailable
from sovbroker.ports import AccessKey
from sovbroker.testing.ovh import OvhService
from sovbroker_adapters.ovh import build

EFFECTS = ["create_key", "add", "prove", "use", "delete_key", "remove"]
"""What a rotation does, in this order: at the provider, in the folder, at the storage."""


@pytest.fixture
def service():
    with OvhService() as service:
        yield service


@pytest.fixture
def accounts(service):
    accounts = build(service.binding())
    yield accounts
    accounts.close()


@pytest.fixture
def folder(service, tmp_path):
    """A folder with one pair of keys in use."""
    number, access = service.add_user("the broker")
    folder = KeyFolder(tmp_path / "keys")
    with folder.locked():
        folder.add(AccessKey(access, service.state.keys[int(number)][access]))
        folder.use(access)
    return folder


@pytest.fixture
def prove(service):
    """The storage's own opinion of a pair of keys."""

    def prove(key):
        if not service.works(key.access_key, key.secret_key):
            raise PermissionDenied("the storage does not know this key")

    return prove


def held(service):
    return {access for pairs in service.state.keys.values() for access in pairs}


def test_the_old_keys_go_when_the_new_ones_work(service, accounts, folder, prove):
    old = folder.current()
    done = rotate(accounts, folder, prove=prove)
    new = folder.current()
    assert (done.old, done.new) == (old.access_key, new.access_key)
    assert old != new
    prove(new)
    with pytest.raises(PermissionDenied):
        prove(old)
    assert held(service) == {new.access_key}
    assert sorted(entry.name for entry in folder.path.iterdir()) == sorted([CURRENT, new.access_key])


def test_what_is_written_is_private(folder):
    for path in (folder.path, folder.path / folder.current().access_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for name in ("access_key", "secret_key"):
        assert stat.S_IMODE((folder.path / CURRENT / name).stat().st_mode) == 0o600
    assert folder.current().secret_key not in repr(folder.current())


class Breaking:
    """Stands in front of an object, and does something before or after one of its methods."""

    def __init__(self, inner, name, before, act):
        self._inner, self._name, self._before, self._act = inner, name, before, act

    def __getattr__(self, name):
        method = getattr(self._inner, name)
        if name != self._name:
            return method

        def call(*args):
            if self._before:
                self._act()
            found = method(*args)
            if not self._before:
                self._act()
            return found

        return call


def broken(accounts, folder, prove, *, effect, before, act, times):
    """Return the three with `act` at one effect; of `prove`, at the call `times`."""
    calls = []

    def proving(key):
        calls.append(key)
        if effect == "prove" and len(calls) == times:
            if before:
                act()
            prove(key)
            if not before:
                act()
        else:
            prove(key)

    return Breaking(accounts, effect, before, act), Breaking(folder, effect, before, act), proving


def check_mended(service, accounts, folder, prove):
    """The pair in use works, now; and the next rotation leaves one pair, here and at the provider."""
    prove(folder.current())
    rotate(accounts, folder, prove=prove, within=0)
    prove(folder.current())
    assert folder.others() == []
    return held(service) - {folder.current().access_key}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("how", ["unavailable", "killed"])
def test_it_may_break_anywhere(service, accounts, folder, prove, effect, before, how):
    def fail():
        raise Unavailable("it broke")

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    act = fail if how == "unavailable" else die
    parts = broken(accounts, folder, prove, effect=effect, before=before, act=act, times=2)
    if how == "unavailable":
        with pytest.raises(Unavailable):
            rotate(parts[0], parts[1], prove=parts[2], within=0)
    else:
        child = os.fork()
        if child == 0:
            try:
                rotate(parts[0], parts[1], prove=parts[2], within=0)
            finally:
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    lost = check_mended(service, accounts, folder, prove)
    # Only a pair whose secret never arrived is left at the provider: `accounts users` shows it.
    assert len(lost) <= (effect == "create_key" and not before) + (effect == "add" and before and how == "killed")


def test_the_message_says_when_only_the_removal_failed(service, accounts, folder, prove):
    old = folder.current()

    def fail():
        raise Unavailable("it broke")

    parts = broken(accounts, folder, prove, effect="delete_key", before=True, act=fail, times=0)
    with pytest.raises(Unavailable, match="is in use, and the old one") as caught:
        rotate(parts[0], parts[1], prove=prove)
    assert old.access_key in str(caught.value)
    assert folder.others() == [old.access_key]
    assert rotate(accounts, folder, prove=prove).removed == (old.access_key,)


def test_new_keys_that_never_work_are_removed_again(service, accounts, folder, prove):
    old, pauses = folder.current(), []

    def only_old(key):
        if key != old:
            raise PermissionDenied("not yet")

    with pytest.raises(PermissionDenied, match="not yet"):
        rotate(accounts, folder, prove=only_old, within=0, sleep=pauses.append)
    assert pauses == []
    assert folder.current() == old
    assert held(service) == {old.access_key}
    assert folder.others() == []


def test_new_keys_may_take_a_while(service, accounts, folder, prove):
    pauses = []

    def late(key):
        prove(key)
        if key != folder.current() and len(pauses) < 3:
            raise PermissionDenied("not yet")

    rotate(accounts, folder, prove=late, sleep=pauses.append)
    assert len(pauses) == 3


def test_keys_that_do_not_work_are_not_rotated(service, accounts, folder, prove):
    number = next(iter(service.state.users))
    service.state.keys[number].clear()
    with pytest.raises(PermissionDenied):
        rotate(accounts, folder, prove=prove)
    assert held(service) == set()


def test_keys_of_nobody(service, accounts, folder):
    service.state.users.clear()
    with pytest.raises(NotFound, match="no user"):
        rotate(accounts, folder, prove=lambda _: None)
    with pytest.raises(NotFound):
        owner_of(accounts, "x")


def test_one_rotation_at_a_time(accounts, folder, prove):
    with folder.locked(), pytest.raises(ConfigError, match="another process"):
        rotate(accounts, KeyFolder(folder.path), prove=prove)


def test_folders_that_will_not_do(accounts, folder, prove, tmp_path):
    with pytest.raises(ConfigError, match="no pair of keys"):
        rotate(accounts, KeyFolder(tmp_path / "new"), prove=prove)
    folder.path.chmod(0o750)
    with pytest.raises(ConfigError, match="chmod 700"):
        rotate(accounts, folder, prove=prove)
    folder.path.chmod(0o700)
    (folder.path / CURRENT / "secret_key").write_text("")
    with pytest.raises(ConfigError, match="not whole"):
        folder.current()
    (folder.path / CURRENT / "secret_key").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        folder.current()
    with pytest.raises(ConfigError, match="in use"):
        folder.remove((folder.path / CURRENT).readlink().name)
    for name in ("../x", CURRENT, "", "a/b"):
        with pytest.raises(ConfigError, match="named after"):
            folder.add(AccessKey(name, "secret"))


def test_an_answer_that_names_no_folder_leaves_no_key_behind(service, accounts, folder, prove):
    class Odd(Breaking):
        def create_key(self, user):
            return AccessKey("../../evil", self._inner.create_key(user).secret_key)

    with pytest.raises(ConfigError, match="named after"):
        rotate(Odd(accounts, "", True, None), folder, prove=prove)
    prove(folder.current())


def test_account_planes_are_found_by_the_provider_s_id():
    assert find_accounts("ovhcloud") is build
    with pytest.raises(ConfigError, match="did you mean `ovhcloud`"):
        find_accounts("ovhclout")
    with pytest.raises(ConfigError, match="known: "):
        find_accounts("x")
    assert issubclass(NotFound, StoreError)
