"""Prints how the words that stop and start messages do on the collected texts, and what a message costs.

Run: python -m benchmarks.keywords
"""

import csv
import time
from collections import Counter
from pathlib import Path

from webhook_app.whatsapp.people.keywords import DEFAULT, read_lines

TEXTS = Path(__file__).parents[1] / "tests" / "whatsapp" / "people"
ROUNDS = 20


def main() -> None:
    """Print the figures."""
    everyday, ways = _rows("everyday_messages.tsv"), _rows("opt_outs.tsv")
    languages = {line.language for line in read_lines()}
    print(f"keywords.csv: {len(read_lines())} lines, {len(languages)} languages")
    meanings = Counter(DEFAULT.typed(row["text"], row["number"]) for row in everyday)
    spoken = len({row["language"] for row in everyday})
    print(f"everyday messages: {len(everyday)} in {spoken} languages")
    for meaning in ("stop", "start", "stop_marketing", "ambiguous"):
        print(f"  taken for {meaning}: {meanings[meaning]}")
    wanted = {"stop everything": ("stop",), "marketing only": ("stop_marketing", "ambiguous")}
    understood = sum(DEFAULT.typed(row["text"]) in wanted[row["effect"]] for row in ways)
    print(f"ways to say stop: {len(ways)}, understood {understood} ({understood / len(ways):.1%})")
    texts = [row["text"] for row in everyday]
    began = time.perf_counter()
    for _ in range(ROUNDS):
        for text in texts:
            DEFAULT.typed(text, "12025550117")
    took = (time.perf_counter() - began) / ROUNDS / len(texts)
    print(f"one everyday message: {took * 1e6:.1f} µs")


def _rows(name: str) -> list[dict[str, str]]:
    with (TEXTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


if __name__ == "__main__":
    main()
