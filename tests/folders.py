"""Folders of the project that tests read."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAYLOADS = ROOT / "tests" / "payloads"
