"""The wheel and the source distribution are complete: the service runs from them elsewhere, without the repository."""

import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.folders import ROOT
from tests.test_up import clean_environment, free_port, request, wait_until_answering

BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "build")


def build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.splitlines()[-1]


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as packed:
        return set(packed.namelist())


def files_below(folder: Path, prefix: str) -> set[str]:
    found = (
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    return {f"{prefix}/{path.as_posix()}" for path in found}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the distributions are built from."""
    copy = tmp_path_factory.mktemp("source") / "project"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_every_file_of_the_package_and_the_migrations(source, wheel):
    wanted = files_below(source / "webhook_app", "webhook_app")
    wanted |= files_below(source / "migrations", "webhook_app/migrations")
    assert {name for name in names_in(wheel) if ".dist-info/" not in name} == wanted


def test_the_source_distribution_builds_the_same_wheel_and_has_the_tests(source, wheel, tmp_path):
    archive = build("sdist", source, tmp_path)
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    again = build("wheel", unpacked, tmp_path / "again")
    assert names_in(again) == names_in(wheel)
    for name in (
        "Makefile",
        "Procfile",
        "alembic.ini",
        "requirements.lock",
        "docs/operating.md",
        "tests/conftest.py",
    ):
        assert (unpacked / name).is_file(), name


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment elsewhere, in a path with a space: the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("another place") / "an environment"
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)
    (current,) = (path for path in sys.path if path.endswith("site-packages") and sys.prefix in path)
    (packages / "dependencies.pth").write_text(f"{current}\n")
    return folder / "bin" / "python"


def run(python: Path, cwd: Path, environment: dict[str, str], *arguments: str) -> str:
    command = [str(python), "-m", "webhook_app.cli.main", *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_installed_wheel_migrates_checks_and_runs(installed, tmp_path):
    port = free_port()
    # The database's own user has to reach the folder, so it is below a public one.
    data = Path("/tmp") / f"webhook_app_installed_{port}"
    environment = clean_environment(DATA_DIR=str(data / "its data"), PORT=str(port))
    script = (
        "import webhook_app, webhook_app.migrating as m; print(webhook_app.__file__, m.MIGRATIONS, sep='\\n')"
    )
    places = subprocess.run(
        [installed, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert all(place.startswith(str(installed.parents[1])) for place in places.stdout.splitlines())
    try:
        service = subprocess.Popen(
            [str(installed), "-m", "webhook_app.cli.main", "up"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_until_answering(port, service)
            assert request(port, "GET", "/readyz")[0] == 200
        finally:
            service.send_signal(signal.SIGINT)
            assert service.wait(60) == 0
        run(installed, tmp_path, environment, "migrate")
        assert "migrations  ok" in run(installed, tmp_path, environment, "check")
        assert "131026" in run(installed, tmp_path, environment, "codes", "131026")
    finally:
        shutil.rmtree(data, ignore_errors=True)


PINNED = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)((?: ; [^\\]+)?) \\$", re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_file_pins_what_pyproject_asks_for_with_hashes(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"]
    if name == "requirements-dev.lock":
        wanted = wanted + project["optional-dependencies"]["dev"]
    lock = (ROOT / name).read_text()
    assert not re.search(r"://|file:|^-|/", lock, re.MULTILINE), "no registry and no path"
    pinned = {canonicalize_name(each): version for each, version, _ in PINNED.findall(lock)}
    for requirement in map(Requirement, wanted):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, (
            f"{requirement}: run `make lock`"
        )
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", lock, flags=re.MULTILINE).strip())
    assert len(entries) == len(PINNED.findall(lock))
    assert all("--hash=sha256:" in entry for entry in entries)
