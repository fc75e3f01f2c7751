"""Folders of the project that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAYLOADS = ROOT / "tests" / "payloads"
