"""docs/prometheus-alerts.yml against tests/prometheus_rules.yml: each rule fires when it should, and only then."""

import re
import shutil
import subprocess
from collections import defaultdict

import pytest
import yaml

from tests.support.folders import DOCS, ROOT

CASES = ROOT / "tests" / "prometheus_rules.yml"


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool comes with Debian's package prometheus"
)
def test_every_rule_passes_its_unit_tests():
    done = subprocess.run(
        ["promtool", "test", "rules", CASES], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_firing_and_a_silent_case():
    results: dict[str, set[bool]] = defaultdict(set)
    for group in yaml.safe_load(CASES.read_text())["tests"]:
        for case in group["promql_expr_test"]:
            found = re.search(r'alertname="(\w+)"', case["expr"])
            assert found
            results[found[1]].add(bool(case["exp_samples"]))
    rules = [
        rule["alert"]
        for group in yaml.safe_load((DOCS / "prometheus-alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert results == {rule: {True, False} for rule in rules}
