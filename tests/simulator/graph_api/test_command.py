"""`webhook-app simulate --graph` as a person types it."""

import signal
import subprocess
import sys
from contextlib import ExitStack
from itertools import takewhile

import httpx
import pytest
from click.testing import CliRunner

from webhook_app.cli.main import main


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--error", "131026"], "such as +4915100000001=131049"),
        (["--error-rate", "131026=2"], "shares"),
        (["--templates", __file__], "not JSON"),
        (["--url", "hooks.example"], "not an http or https URL"),
    ],
)
def test_a_wrong_option_is_named(options, said):
    done = CliRunner().invoke(main, ["simulate", "--graph", *options])
    assert done.exit_code == 1
    assert said in done.output


def test_it_says_how_to_send_and_ends_with_ctrl_c(tmp_path):
    environment = {"DATA_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "webhook_app.cli.main", "simulate", "--graph", "--port", "0"]
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    with started as process, ExitStack() as at_the_end:
        at_the_end.callback(process.kill)
        shown = list(takewhile(str.strip, process.stdout))
        url = shown[0].split()[5].rstrip(",")
        answer = httpx.get(f"{url}/v25.0/1", trust_env=False)
        process.send_signal(signal.SIGINT)
        ending, _ = process.communicate(timeout=10)
    assert answer.json()["error"]["code"] == 190
    assert any(f"{url}/v25.0/590238114470021/messages" in line for line in shown)
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 120
    assert ending.endswith("Stopped.\n")
    assert process.returncode == 0
