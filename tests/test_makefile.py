"""make names what a machine lacks, before it runs pip."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.folders import ROOT


def make(folder: Path, python: str) -> str:
    """The output of a first `make` with this Python, which must fail."""
    shutil.copy(ROOT / "Makefile", folder)
    command = ["make", "-s", ".venv/bin/python", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert not (folder / ".venv").exists()
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            'case "$1" in -c) exit 1;; esac; echo "Python 3.9.2"',
            "Python 3.11 or newer is needed, this is Python 3.9.2",
        ),
        ('case "$2" in pip) exit 1;; esac; exit 0', "has no pip"),
        ('case "$2" in venv) exit 1;; esac; exit 0', "No .venv could be made"),
    ],
)
def test_a_python_that_lacks_something_is_named(tmp_path, script, words):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    assert words in make(tmp_path, str(python))


def test_a_missing_python_is_named(tmp_path):
    assert "python9 is not installed. Install Python 3.11 or newer" in make(tmp_path, "python9")
