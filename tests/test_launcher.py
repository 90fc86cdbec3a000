"""The scripts a person starts, in copies of the project without packages and without Spark."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

PROJECT = Path(__file__).parent.parent
TOOLS = (
    "bash",
    "cat",
    "cksum",
    "dirname",
    "flock",
    "grep",
    "ln",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "sed",
    "tail",
)

# Stands in for every Python of the set-up: it counts the calls, makes a venv of itself, and installs nothing.
FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
    "-c import ensurepip"*) exit 0 ;;
    "-m venv --clear "*) mkdir -p "$4/bin" "$4/lib/python3.11/site-packages" && cp "$0" "$4/bin/python" ;;
    *" -m jobs "*) echo "pid $$ in $PWD with Java $JAVA_HOME:" "$@" ;;
esac
while [ $# -gt 0 ]; do
    [ "$1" != --target ] || mkdir -p "$2"
    shift
done
[ ! -e "$CALLS.fail" ] || { echo "no such package"; exit 1; }
"""

FAKE_JAVA = """#!/bin/sh
for argument in "$@"; do echo "<$argument>"; done
"""


def write_executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # never write through a link: those in `bin` lead to the machine's own tools
    path.write_text(text)
    path.chmod(0o755)


class Checkout:
    """A copy of the scripts in a folder of its own; its PATH holds common tools and two fakes, no more."""

    def __init__(self, folder: Path) -> None:
        self.project, self.bin, self.calls = folder / "a project", folder / "bin", folder / "calls"
        shutil.copytree(PROJECT / ".ci", self.project / ".ci")
        for name in (
            "spark-submit.sh",
            "requirements.lock",
            "requirements-notebook.lock",
            "requirements-dev.lock",
            "requirements-java.lock",
        ):
            shutil.copy(PROJECT / name, self.project)
        self.bin.mkdir()
        for tool in (*TOOLS, "chmod", "cp", "tr", "sh"):
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        write_executable(self.bin / "python3", FAKE_PYTHON)
        self.use_java("17.0.15")

    def use_java(self, version: str) -> None:
        home = self.bin.parent / "java home"
        write_executable(home / "bin" / "java", FAKE_JAVA)
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
        (self.bin / "java").unlink(missing_ok=True)
        (self.bin / "java").symlink_to(home / "bin" / "java")

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "CALLS": str(self.calls), "HOME": str(self.bin.parent)}

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.project / "spark-submit.sh"), *arguments]
        return subprocess.run(
            ["bash", *command], env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=20
        )

    def called(self) -> list[str]:
        """Give the set-up steps that the fake Python was asked for since the last time."""
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        kinds = {"-m venv": "venv", "-m pip": "pip"}
        return [kinds[start] for call in calls if (start := call[:7].strip()) in kinds]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_start_makes_what_is_missing_and_says_so(checkout: Checkout) -> None:
    # when
    started = checkout.start("demo")
    # then
    assert checkout.called() == ["venv", "pip"]
    assert started.stderr == "Setting up Python packages, once (about a minute) …\n"
    assert started.stdout.endswith(": -P -m jobs demo\n")


def test_a_second_start_makes_nothing(checkout: Checkout) -> None:
    # given
    checkout.start("demo")
    checkout.called()
    # when
    started = checkout.start("demo")
    # then
    assert (checkout.called(), started.stderr, started.returncode) == ([], "", 0)


def test_a_job_starts_where_the_user_stands(checkout: Checkout, tmp_path: Path) -> None:
    assert f" in {tmp_path} with" in checkout.start("demo", cwd=tmp_path).stdout


def test_the_notebook_adds_its_packages_once(checkout: Checkout) -> None:
    # given
    checkout.start("demo")
    checkout.called()
    # when
    started = checkout.start("notebook", "--no-browser")
    # then
    assert checkout.called() == ["pip"]
    assert started.stderr == "Adding the packages of requirements-notebook.lock, once (about a minute) …\n"
    assert started.stdout.endswith(": -P -m jobs notebook --no-browser\n")
    assert checkout.start("notebook").stderr == ""
    assert checkout.called() == []


def test_arguments_reach_the_job_unchanged(checkout: Checkout) -> None:
    assert checkout.start("demo", "--set", "a=b  c").stdout.endswith(": -P -m jobs demo --set a=b  c\n")


def test_the_job_has_the_pid_of_the_script(checkout: Checkout) -> None:
    # when
    script = subprocess.Popen(
        ["bash", str(checkout.project / "spark-submit.sh"), "demo"],
        env=checkout.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    output, _ = script.communicate(timeout=20)
    # then
    assert output.startswith(f"pid {script.pid} ")


def test_changed_versions_are_installed_anew(checkout: Checkout) -> None:
    # given
    checkout.start("demo")
    checkout.called()
    # when
    with (checkout.project / "requirements.lock").open("a") as lock:
        lock.write("# another version\n")
    checkout.start("demo")
    # then
    assert checkout.called() == ["venv", "pip"]


def test_versions_do_not_change_under_a_running_job(checkout: Checkout) -> None:
    # given
    checkout.start("demo")
    with (checkout.project / ".cache" / "in-use.lock").open() as in_use:
        subprocess.run(["flock", "-s", str(in_use.fileno())], pass_fds=[in_use.fileno()], check=True)
        (checkout.project / "requirements.lock").write_text("# another version\n")
        checkout.called()
        # when
        started = checkout.start("demo")
    # then
    assert (checkout.called(), started.returncode) == ([], 2)
    assert "a job still runs with the old ones: stop it" in started.stderr


def test_a_failed_set_up_says_why_and_is_done_again(checkout: Checkout) -> None:
    # given
    fail = Path(f"{checkout.calls}.fail")
    fail.touch()
    # when
    failed = checkout.start("demo")
    # then
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "no such package\nSet-up failed; " in failed.stderr
    # when
    fail.unlink()
    checkout.called()
    # then
    assert checkout.start("demo").returncode == 0
    assert checkout.called() == ["venv", "pip"]


def test_two_first_starts_set_up_once(checkout: Checkout) -> None:
    # when
    command = ["bash", str(checkout.project / "spark-submit.sh"), "demo"]
    both = [subprocess.Popen(command, env=checkout.environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    # then
    assert [one.wait(timeout=20) for one in both] == [0, 0]
    assert checkout.called() == ["venv", "pip"]


def prepare(checkout: Checkout, *kinds: str) -> None:
    script = "set -euo pipefail; source .ci/environment.sh; for kind; do (prepare_python $kind); done"
    subprocess.run(
        ["bash", "-c", script, "-", *kinds],
        env=checkout.environment,
        cwd=checkout.project,
        check=True,
        timeout=20,
    )


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        pytest.param(["dev"], ["venv", "pip", "pip"], id="tests-first"),
        pytest.param(["runtime", "dev"], ["venv", "pip", "pip"], id="tests-after-a-job"),
        pytest.param(["dev", "runtime", "dev"], ["venv", "pip", "pip"], id="a-job-between-tests"),
        pytest.param(["notebook", "dev", "notebook"], ["venv", "pip", "pip", "pip"], id="the-notebook-and-tests"),
    ],
)
def test_tests_add_their_packages_to_those_of_the_jobs(
    checkout: Checkout, kinds: list[str], expected: list[str]
) -> None:
    prepare(checkout, *kinds)
    assert checkout.called() == expected


def test_without_a_fitting_python_one_line_says_what_to_do(checkout: Checkout) -> None:
    # given
    write_executable(checkout.bin / "python3", "#!/bin/sh\nexit 1\n")  # as an older Python answers
    # when
    started = checkout.start("demo")
    # then
    assert (started.returncode, started.stdout, len(started.stderr.splitlines())) == (2, "", 1)
    assert started.stderr.startswith("No Python 3.11 or newer")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param("17.0.15", [], id="17"),
        pytest.param("21", [], id="21"),
        pytest.param("11.0.2", ["pip"], id="too-old"),
        pytest.param("1.8.0_402", ["pip"], id="much-too-old"),
        pytest.param("25", ["pip"], id="too-new"),
        pytest.param("170.1", ["pip"], id="not-17-but-170"),
    ],
)
def test_a_java_is_installed_unless_there_is_a_fitting_one(
    checkout: Checkout, version: str, expected: list[str]
) -> None:
    # given
    checkout.use_java(version)
    # when
    checkout.start("demo")
    # then
    assert checkout.called() == ["venv", "pip", *expected]


def test_java_gets_all_arguments_but_the_missing_module(checkout: Checkout) -> None:
    # given
    java_home = checkout.start("demo").stdout.split(" with Java ")[1].split(":")[0]
    arguments = ["-cp", "a b", "--add-modules=jdk.incubator.vector", "", "*", "$HOME", '-Dx=it\'s "so"']
    # when
    output = subprocess.run([f"{java_home}/bin/java", *arguments], capture_output=True, text=True, check=True).stdout
    # then
    expected = [argument for argument in arguments if "incubator" not in argument]
    assert output.splitlines() == [f"<{argument}>" for argument in expected]


@pytest.mark.parametrize("is_there", [True, False])
def test_java_gets_the_trust_store_of_the_machine_if_there_is_one(tmp_path: Path, is_there: bool) -> None:
    # given
    write_executable(tmp_path / "real" / "bin" / "java", FAKE_JAVA)
    write_executable(tmp_path / "bin" / "java", (PROJECT / ".ci" / "java").read_text())
    (tmp_path / "trust-store").symlink_to(tmp_path / "cacerts")
    if is_there:
        (tmp_path / "cacerts").touch()
    # when
    output = subprocess.run([tmp_path / "bin" / "java", "-x"], capture_output=True, text=True, check=True).stdout
    # then
    option = f"<-Djavax.net.ssl.trustStore={tmp_path}/bin/../trust-store>\n"
    assert output == (option if is_there else "") + "<-x>\n"


def test_processes_that_spark_starts_take_the_pyspark_that_is_compiled() -> None:
    # given
    package = Path(pyspark.__file__).parent
    zips = [str(file) for file in (package / "python" / "lib").glob("*.zip")]
    assert len(zips) == 2, "as Spark puts them on the path"
    # when
    ask = [sys.executable, "-c", "import py4j, pyspark; print(py4j.__file__); print(pyspark.__file__)"]
    taken = subprocess.check_output(ask, env={"PYTHONPATH": os.pathsep.join(zips)}, text=True).splitlines()
    # then
    assert taken == [str(package.parent / name / "__init__.py") for name in ("py4j", "pyspark")]
