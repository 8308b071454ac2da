"""The pytest plugin, in runs of pytest of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "testing_your_app"
PAGE = ROOT / "docs" / "testing.md"
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLUGIN = ("-p", "sovbroker.testing.plugin")

POLICY = """
sovbroker: 1
name: plugin
levels: [public]
default: public
zones: {anywhere: {}}
require: {public: {store: {anywhere: {}}}}
"""
CONFIG = """
sovbroker: 1
policy: %s
targets:
  - {at: %s, bucket: b, credentials: {env: NOBODY_SETS_THIS}}
"""
TEST = """
def test_it(sov_clouds, sov_broker):
    sov_broker.put("a", b"the body")
    print("faked:", *sov_clouds.targets)
"""


class Project:
    """A folder with tests, run by a pytest of its own; `loads` is how the plugin gets there."""

    def __init__(self, folder):
        self.folder = folder
        self.loads = PLUGIN

    def write(self, **files):
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def configure(self, name="sovbroker.yaml", at="aws/eu-west-3"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONFIG % (os.path.relpath(self.folder / "policy.yaml", path.parent), at))
        (self.folder / "policy.yaml").write_text(POLICY)

    def pytest(self, *arguments, code=0, env=None):
        # The installed plugins are left out, so that ours is there once, whether or not it is installed as one.
        alone = {} if not self.loads else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SOVBROKER"))}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *self.loads, "-rA", *arguments],
            cwd=self.folder,
            env=clean | alone | {"COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"} | (env or {}),
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers --strict-config -W error\n")
    return Project(tmp_path)


@pytest.fixture
def example(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__"))
    return Project(tmp_path / "example")


# --- which configuration


@pytest.mark.parametrize("name", ["sovbroker.yaml", "tests/sovbroker.yaml"])
def test_the_configuration_is_found_where_projects_have_it(project, name):
    project.configure(name)
    project.write(tests__test_it_dot_py=TEST)
    assert "faked: aws/eu-west-3" in project.pytest()


def test_the_one_in_the_root_folder_comes_first(project):
    project.configure("sovbroker.yaml", at="ovhcloud/gra")
    project.configure("tests/sovbroker.yaml")
    project.write(tests__test_it_dot_py=TEST)
    assert "faked: ovhcloud/gra" in project.pytest("tests")


def test_the_option_names_another_one(project):
    project.configure("sovbroker.yaml")
    project.configure("conf/eu.yaml", at="ovhcloud/gra")
    project.write(tests__test_it_dot_py=TEST, pytest_dot_ini="[pytest]\nsovbroker_config = conf/eu.yaml\n")
    assert "faked: ovhcloud/gra" in project.pytest("tests")


@pytest.mark.parametrize("written", ['config="conf/eu.yaml"', '"conf/eu.yaml"'])
def test_the_marker_names_another_one_for_a_test(project, written):
    project.configure("sovbroker.yaml")
    project.configure("conf/eu.yaml", at="ovhcloud/gra")
    marked = TEST.replace("test_it", "test_marked").replace(
        "def ", f"import pytest\n@pytest.mark.sovbroker({written})\ndef "
    )
    project.write(test_it_dot_py=TEST + marked)
    printed = project.pytest()
    assert printed.count("faked: aws/eu-west-3") == printed.count("faked: ovhcloud/gra") == 1
    assert "2 passed" in printed


@pytest.mark.parametrize("written", ["", "'a', 'b'", "path='a'"])
def test_a_marker_that_names_nothing_is_explained(project, written):
    project.configure()
    project.write(test_it_dot_py=TEST.replace("def ", f"import pytest\n@pytest.mark.sovbroker({written})\ndef "))
    assert "the marker takes one path" in project.pytest(code=1)


def test_no_configuration_is_explained(project):
    project.write(test_it_dot_py=TEST)
    printed = project.pytest(code=1)
    assert "there is no configuration to fake: neither `sovbroker.yaml` nor `tests/sovbroker.yaml`" in printed
    assert "`sovbroker_config`" in printed
    assert "Traceback" not in printed


def test_a_wrong_configuration_is_told_with_its_findings(project):
    project.configure()
    project.write(test_it_dot_py=TEST, sovbroker_dot_yaml="sovbroker: 1\ntarget: []\n")
    assert "did you mean `targets`" in project.pytest(code=1)


# --- what the fixtures give


def test_every_test_has_clouds_of_its_own(project):
    project.configure()
    again = TEST.replace("test_it", "test_again").replace("    sov", "    assert sov_clouds.saw() == []\n    sov", 1)
    project.write(test_it_dot_py=TEST + again)
    assert "2 passed" in project.pytest()


def test_an_application_that_opens_its_configuration_gets_the_same_clouds(project):
    project.configure()
    project.write(
        test_it_dot_py="import sovbroker\n"
        "def test_it(sov_clouds, sov_broker):\n"
        "    with sovbroker.open() as own:\n"
        "        own.put('a', b'the body')\n"
        "    assert sov_broker.read('a') == b'the body'\n"
    )
    assert "1 passed" in project.pytest()


def test_a_failed_test_tells_what_the_clouds_saw_and_hides_how_it_was_found(project):
    project.configure()
    project.write(test_it_dot_py=TEST + "    sov_clouds.assert_never_saw('the body', 'aws')\n")
    printed = project.pytest(code=1)
    assert "AssertionError: aws saw 'the body', and must not:" in printed
    assert "in its body: raw" in printed
    _, _, section = printed.partition("What the faked clouds saw")
    assert re.search(r"^aws/eu-west-3  put `a@\w+`, 8 bytes$", section, re.MULTILINE)
    assert "fakes.py:" not in printed
    project.write(test_it_dot_py=TEST)
    assert "What the faked clouds saw" not in project.pytest()
    project.write(test_it_dot_py="def test_it():\n    assert False\n")
    assert "What the faked clouds saw" not in project.pytest(code=1)


def test_it_works_in_several_processes(example):
    assert "7 passed" in example.pytest("-p", "xdist.plugin", "-n", "2", "-q")


# --- how it is loaded


def test_the_marker_and_the_option_are_declared(project):
    assert "@pytest.mark.sovbroker(config): fake the clouds of this configuration" in project.pytest("--markers")
    assert "sovbroker_config (string):" in project.pytest("--help")


HEAVY = ("sovbroker.broker", "sovbroker.opening", "sovbroker.policy", "yaml", "cryptography", "hypothesis", "boto3")


def test_a_run_that_uses_no_fixture_of_it_imports_nothing_of_the_broker(project):
    look = f"import sys\n\ndef test_it():\n    assert not set({HEAVY!r}) & set(sys.modules)\n"
    project.write(test_it_dot_py=look)
    assert "1 passed" in project.pytest()
    project.configure()
    project.write(test_it_dot_py=look.replace("test_it()", "test_it(sov_clouds)"))
    assert "1 failed" in project.pytest(code=1)


def test_it_is_found_as_an_installed_plugin(project):
    """By the entry point that the distribution declares: the group `pytest11`, the name `sovbroker`."""
    project.configure()
    project.write(
        site__installed_1_dist_info__METADATA="Metadata-Version: 2.1\nName: installed\nVersion: 1\n",
        site__installed_1_dist_info__entry_points_dot_txt="[pytest11]\nsovbroker = sovbroker.testing.plugin\n",
        test_it_dot_py=TEST,
    )
    (project.folder / "site" / "installed_1_dist_info").rename(project.folder / "site" / "installed-1.dist-info")
    project.loads = ()
    assert "faked: aws/eu-west-3" in project.pytest(env={"PYTHONPATH": str(project.folder / "site")})


# --- the example and the page


def test_the_example_passes(example):
    assert "7 passed" in example.pytest("-W", "error")


@pytest.mark.parametrize(
    ("application", "broken", "seen"),
    [
        ('f"patients/{patient}/{day}.txt", text.encode(),', 'f"public/{patient}/{day}.txt", text.encode(),', "raw"),
        ('["day,letters", *rows, ""]', '["day,letters", *map(str, self._broker.list("patients/")), ""]', "raw"),
    ],
)
def test_the_tests_of_the_example_find_an_application_that_leaks(example, application, broken, seen):
    path = example.folder / "letters.py"
    text = path.read_text()
    assert application in text
    path.write_text(text.replace(application, broken, 1))
    printed = example.pytest(code=1)
    assert re.search(rf"saw 'Camille Moreau', and must not:\n(.*\n)*?.*in its \w+: .*{seen}", printed), printed


def test_the_tests_of_the_example_find_a_policy_that_lets_letters_leave(example):
    path = example.folder / "policy.yaml"
    path.write_text(path.read_text().replace("french: {located: [FR], controlled: [FR]}", "french: {located: [EEA]}"))
    config = example.folder / "sovbroker.yaml"
    config.write_text(config.read_text().replace("aws/eu-west-3", "aws/eu-central-1"))
    printed = example.pytest(code=1)
    assert "what matches `patients/**` must lie in FR only:" in printed
    assert "at aws/eu-central-1, sealed, its name hidden: located in DE, not only FR" in printed


def test_the_page_shows_a_failure_as_it_is(example):
    """The python block after the mark, run beside the example, prints the block of text below it."""
    _, _, rest = PAGE.read_text("utf-8").partition("<!-- run by tests/unit/testing/test_plugin.py -->\n")
    assert PAGE.name == "testing.md"
    (_, test), (language, shown) = BLOCK.findall(rest)[:2]
    assert language == "text"
    (example.folder / "test_page.py").write_text(test)
    printed = example.pytest("test_page.py", code=1)
    pattern = r"[^\n]*".join(map(re.escape, shown.strip("\n").split("…")))
    assert re.search(pattern, printed), printed


def test_the_page_names_all_that_there_is():
    text = PAGE.read_text("utf-8")
    names = ["sov_clouds", "sov_broker", "sovbroker_config", "@pytest.mark.sovbroker", "fake_clouds", "FakeCloud.at"]
    names += [f"clouds.{name}" for name in ("saw", "held", "fail", "mend", "forget", "set_time", "advance", "open")]
    names += [f"clouds.assert_{name}" for name in ("never_saw", "only_in", "sealed")]
    assert not [name for name in names if name not in text]
