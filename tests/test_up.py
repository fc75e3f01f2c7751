"""`webhook-app up` and the Procfile as a person and a platform run them: real processes, real signals."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.factories import body, status
from tests.folders import ROOT
from webhook_app.whatsapp.receiving.signature import sign


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "BIND_HOST": "127.0.0.1", "WEB_CONCURRENCY": "1"} | more


def request(port: int, method: str, path: str, raw: bytes = b"", **headers: str) -> tuple[int, Any]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, raw, headers)
        answer = connection.getresponse()
        text = answer.read()
    return answer.status, json.loads(
        text
    ) if answer.headers.get_content_type() == "application/json" else text


def wait_until_answering(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended before it answered"
        try:
            if request(port, "GET", "/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the service did not answer within a minute")


def family(process: subprocess.Popen[bytes], folder: Path) -> list[psutil.Process]:
    """The service's processes: its children and whoever works on its data folder."""
    children = psutil.Process(process.pid).children(recursive=True)
    others = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
    return children + others


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="webhook_app_up_", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_up_starts_everything_ctrl_c_leaves_nothing_behind_and_a_second_run_finds_its_data(
    folder: Path,
) -> None:
    raw = body(status("wamid.KEPT", "sent", int(time.time())))
    for run in (1, 2):
        port = free_port()
        environment = clean_environment(DATA_DIR=str(folder / "data"), PORT=str(port))
        process = subprocess.Popen(
            [sys.executable, "-m", "webhook_app.cli.main", "up"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
        )
        wait_until_answering(port, process)
        kept = json.loads((folder / "data" / "secrets.json").read_text())
        key = {"Authorization": f"Bearer {kept['ADMIN_API_KEY']}"}
        if run == 1:
            headers = {"X-Hub-Signature-256": sign(raw, kept["META_APP_SECRET"].encode())}
            assert request(port, "POST", "/webhook", raw, **headers)[0] == 200
        assert request(port, "GET", "/v1/messages/wamid.KEPT", **key)[0] == 200
        started = family(process, folder)
        assert len(started) >= 3
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert kept["META_VERIFY_TOKEN"] in output.decode()
        _, alive = psutil.wait_procs(started, timeout=5)
        assert alive == []


def test_production_invents_no_secret(database_url: str, folder: Path) -> None:
    environment = clean_environment(DATABASE_URL=database_url, DATA_DIR=str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "webhook_app.cli.main", "up"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"META_APP_SECRET: is required" in done.stderr
    assert b"META_VERIFY_TOKEN: is required" in done.stderr
    assert list(folder.iterdir()) == []


def test_the_procfile_runs_as_it_is(database_url: str, folder: Path) -> None:
    port = free_port()
    environment = clean_environment(
        DATABASE_URL=database_url, META_APP_SECRET="from outside", META_VERIFY_TOKEN="token",
        ADMIN_API_KEY="an admin key of the test", PORT=str(port),
    )  # fmt: skip
    release = next(
        line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith("release: ")
    )
    subprocess.run(release.removeprefix("release: "), shell=True, cwd=ROOT, env=environment, check=True)
    command = [sys.executable, "-m", "honcho", "start", "--no-prefix", "-p", str(port), "web", "scheduler"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_answering(port, process)
        raw = body(status("wamid.P", "sent", int(time.time())))
        headers = {"X-Hub-Signature-256": sign(raw, b"from outside")}
        assert request(port, "POST", "/webhook", raw, **headers)[0] == 200
        assert request(port, "GET", "/readyz")[0] == 200
        started = family(process, folder)
    finally:
        process.terminate()
        process.wait(30)
    _, alive = psutil.wait_procs(started, timeout=15)
    assert alive == []
