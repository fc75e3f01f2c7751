"""docs/testing-your-sender.md: its example gives what its comments say."""

import json
import re
import shutil
import subprocess

import pytest

from tests.support.folders import ROOT
from webhook_app.simulator.graph_api.account import SimulatedAccount, example_templates
from webhook_app.simulator.graph_api.graph import SimulatedGraph
from webhook_app.simulator.graph_api.server import graph_server

PAGE = (ROOT / "docs" / "testing-your-sender.md").read_text()
EXAMPLE = re.search(r"<!-- graph -->\n```sh\n(.*?)```", PAGE, re.DOTALL)[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_example_gives_what_its_comments_say(running):
    shown = []
    graph = SimulatedGraph(SimulatedAccount(templates=example_templates()))
    with graph_server(graph, None, show=shown.append) as server, running(server) as url:
        script = EXAMPLE.replace("http://127.0.0.1:8100", url)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    sends = [(answer, line) for answer, line in zip(answers, shown, strict=True) if "/inbound" not in line]
    said = re.findall(r"# ((?:accepted|refused).*)", EXAMPLE)
    assert [_outcome(*each) for each in sends] == said


def _outcome(answer, shown):
    if "error" in answer:
        return f"refused: {answer['error']['code']}"
    if "failed" in shown:
        return f"accepted; webhook: failed, {shown.split()[-1]}"
    return f"accepted; webhooks: {shown.partition('… ')[2].replace(' →', ',')}"
