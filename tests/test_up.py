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
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from tests.support.factories import body, status
from tests.support.folders import ROOT
from webhook_app.embedded import StartupError
from webhook_app.settings import Settings
from webhook_app.up import Running, StopRequestedError, _signals, _wait_until_ready, local_url
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
    """The service's processes: its children, and those that work on its data folder."""
    children = psutil.Process(process.pid).children(recursive=True)
    others = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
    return children + others


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="webhook_app_up_", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_up_starts_everything_ctrl_c_leaves_nothing_behind_and_a_second_run_finds_its_data(folder):
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
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)  # a person in a hurry
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert kept["META_VERIFY_TOKEN"] in output.decode()
        assert "META_ACCESS_TOKEN is not set" in output.decode()
        _, alive = psutil.wait_procs(started, timeout=5)
        assert alive == []


def run_command(environment: dict[str, str], *arguments: str, cwd: Path = ROOT) -> str:
    command = [sys.executable, "-m", "webhook_app.cli.main", *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_commands_find_the_embedded_database_running_or_not_in_a_path_with_a_space(folder):
    data, port = folder / "my data" / "of today", free_port()
    environment = clean_environment(DATA_DIR=str(data), PORT=str(port), PYTHONPATH=str(ROOT))
    process = subprocess.Popen(
        [sys.executable, "-m", "webhook_app.cli.main", "up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until_answering(port, process)
        key = run_command(environment, "api-key", "create", "the shop", "--role", "viewer").strip()
        assert request(port, "GET", "/v1/alerts", Authorization=f"Bearer {key}")[0] == 200
        for arguments in (["migrate"], ["prune"], ["replay"], ["backtest", "--days", "0.01"]):
            run_command(environment, *arguments)
        assert "raw archive done" in run_command(environment, "erase", "--yes", "+12025550117")
        checked = run_command(environment, "check")
        assert f"service     ok, runs on port {port}" in checked
        assert "migrations  ok" in checked
        assert request(port, "GET", "/readyz")[0] == 200, "no command has stopped the database"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    relative = environment | {"DATA_DIR": "of today"}
    assert "the shop" in run_command(relative, "api-key", "list", cwd=data.parent)
    assert "migrations  ok" in run_command(environment, "check")
    running = [
        p
        for p in psutil.process_iter(["cmdline", "name"])
        if p.info["name"] == "postgres" and works_in(p, data)
    ]
    assert running == [], "a command stops the database that it has started"


def works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd().startswith(str(folder))
    except psutil.Error:
        return False


def test_up_shows_only_the_secrets_it_has_made(folder):
    port = free_port()
    (folder / "key").write_text("an admin key from a file\n")
    environment = clean_environment(
        DATA_DIR=str(folder / "data"), PORT=str(port), META_VERIFY_TOKEN="a token from outside",
        META_APP_SECRET="a secret from outside", ADMIN_API_KEY_FILE=str(folder / "key"),
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "webhook_app.cli.main", "up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    greeting = b""
    for line in process.stdout or ():
        greeting += line
        if b"API docs" in line:
            break
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=60)
    output, progress = (greeting + rest).decode(), errors.decode()
    assert "Verify token    from META_VERIFY_TOKEN\n" in output
    assert "Admin API key   from ADMIN_API_KEY_FILE\n" in output
    for secret in (
        "from outside",
        "from a file",
        *json.loads((folder / "data" / "secrets.json").read_text()).values(),
    ):
        assert secret not in output + progress
    steps = [line for line in progress.splitlines() if line.endswith("…")]
    assert steps[:4] == [
        "Creating the database …",
        "Starting PostgreSQL …",
        "Migrating the database …",
        "Starting the web server and the scheduler …",
    ]


def starting(code: str, port: int) -> Running:
    given = {"database_url": "postgresql://", "meta_app_secret": (b"a secret of 16 bytes",), "port": port}
    settings = Settings(**given, meta_verify_token="a token of the test", bind_host="127.0.0.1")
    return Running(
        settings, {}, local_url(settings), {"web": subprocess.Popen([sys.executable, "-c", code])}, {}
    )


def test_the_end_of_a_part_or_of_the_embedded_database_ends_everything():
    running = starting("import time; time.sleep(60)", free_port())
    try:
        assert running.ended() is None
        with capture_logs() as logged:
            assert replace(running, database_runs=lambda: False).wait() == 1
        assert [each["part"] for each in logged] == ["database"]
    finally:
        running.processes["web"].kill()
        running.processes["web"].wait()
    assert running.wait() != 0


class EndsInFinalizer:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_ctrl_c_whose_exception_is_lost_in_a_finalizer_ends_everything():
    running = starting("import time; time.sleep(60)", free_port())
    try:
        with _signals() as stop_requested:
            running = replace(running, stop_requested=stop_requested)
            assert running.ended() is None
            EndsInFinalizer()
            with pytest.raises(StopRequestedError):
                running.wait()
            with pytest.raises(StopRequestedError):
                _wait_until_ready(running, print)
    finally:
        running.processes["web"].kill()
        running.processes["web"].wait()


def test_a_slow_start_is_waited_for_while_the_web_server_works(monkeypatch):
    port, lines = free_port(), []
    monkeypatch.setattr("webhook_app.up.REPORT_SECONDS", 0.5)
    code = f"""
import time, http.server
end = time.process_time() + 2.5
while time.process_time() < end:
    pass
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""
    running = starting(code, port)
    try:
        _wait_until_ready(running, lines.append, idle_seconds=1.5)
    finally:
        running.processes["web"].kill()
        running.processes["web"].wait()
    assert lines
    assert all(line.startswith(f"Waiting for the web server on http://127.0.0.1:{port}, ") for line in lines)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import time; time.sleep(60)", "has used no CPU for 1 s"),
        ("raise SystemExit(3)", "The web did not start"),
    ],
)
def test_a_start_that_makes_no_progress_ends_with_a_reason(code, message):
    running = starting(code, free_port())
    try:
        with pytest.raises(StartupError, match=message):
            _wait_until_ready(running, print, idle_seconds=0.7)
    finally:
        running.processes["web"].kill()
        running.processes["web"].wait()


def test_production_invents_no_secret(database_url, folder):
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


def test_the_procfile_runs_as_it_is(database_url, folder):
    port = free_port()
    environment = clean_environment(
        DATABASE_URL=database_url, META_APP_SECRET="a secret from outside", META_VERIFY_TOKEN="a token of the test",
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
        headers = {"X-Hub-Signature-256": sign(raw, b"a secret from outside")}
        assert request(port, "POST", "/webhook", raw, **headers)[0] == 200
        assert request(port, "GET", "/readyz")[0] == 200
        started = family(process, folder)
    finally:
        process.terminate()
        process.wait(30)
    _, alive = psutil.wait_procs(started, timeout=15)
    assert alive == []
