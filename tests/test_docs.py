"""The documentation is correct: links, settings, commands and API calls exist, and examples marked as checked run."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text

from tests.faults.web_server import web_server
from tests.support.folders import ROOT
from webhook_app.cli.main import main
from webhook_app.client import Client
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.scheduler.jobs import load_rules
from webhook_app.settings import Settings, read_settings
from webhook_app.store.postgres.engine import connect, make_engine
from webhook_app.web.api import ENDPOINTS
from webhook_app.whatsapp.errors import catalogue, catalogue_page

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"])
SERVICE = "http://localhost:8000"
NUMBER = "590238114470021"
ADMIN_KEY = "an admin key of the test"
CHECKED = [
    pytest.param(kind, code, id=f"{page.name} {kind} {place}")
    for page in PAGES
    for place, (kind, code) in enumerate(
        re.findall(r"<!-- checked -->\n```(\w+)\n(.*?)```", page.read_text(), re.DOTALL)
    )
]


def prose(page):
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_have_a_target(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_index_links_to_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").iterdir():
        if page.is_file() and page.name != "README.md":
            assert f"({page.name})" in index


def test_images_are_small():
    for path in (ROOT / "docs" / "images").iterdir():
        assert path.stat().st_size < 300_000, path.name


def settings_in(page):
    return dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) ?\| ", page.read_text(), re.MULTILINE))


def test_operating_lists_every_setting_with_its_default():
    documented = settings_in(ROOT / "docs" / "operating.md")
    assert list(documented) == [name.upper() for name in Settings.model_fields]
    minimal = read_settings(
        {"DATABASE_URL": "postgresql://", "META_APP_SECRET": "s" * 16, "META_VERIFY_TOKEN": "t" * 16}
    )
    for name, default in documented.items():
        value = getattr(minimal, name.lower())
        if default and isinstance(value, (int, float)):
            assert float(default) == value, name
        elif isinstance(value, str) and value and name not in ("DATABASE_URL", "META_VERIFY_TOKEN"):
            assert default.strip("`") == value, name
    assert settings_in(ROOT / "README.md").items() <= documented.items()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_in_the_form_of_a_setting_is_a_setting(page):
    known = {name.upper() for name in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known}
    others = {"TEST_DATABASE_URL", "NAME_FILE"}
    endings = tuple(name.partition("_")[2] for name in known if "_" in name)
    for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", prose(page)):
        if name.endswith(endings) and page.name != "error-codes.md":
            assert name in known | others, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page):
    for line in re.findall(r"webhook-app ((?:[a-z][a-z-]*|--[a-z-]+)(?: [^\n`#]*)?)", page.read_text()):
        words = line.split()
        command = main
        while words and hasattr(command, "commands"):
            name = words.pop(0)
            assert name.startswith("-") or name in command.commands, line
            command = command.commands.get(name, command)
            if name.startswith("-"):
                break
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known | {"--help"}, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"`make ([a-z-]+)", page.read_text()) + re.findall(
        r"^make ([a-z-]+)", page.read_text(), re.MULTILINE
    )
    assert set(named) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_named_tests_exist(page):
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_api_calls_exist(page):
    known = [re.sub(r"\{\w+\}", "[^/]+", endpoint.path) for endpoint in ENDPOINTS]
    for path in re.findall(r"(?:GET|POST|PUT|DELETE) (/v1/[\w/{}-]*)", page.read_text()):
        assert any(re.fullmatch(each, path) for each in known), path


def test_the_page_of_error_codes_is_up_to_date():
    page = catalogue_page.markdown_page(catalogue.catalogue(), catalogue.sources())
    assert (ROOT / "docs" / "error-codes.md").read_text() == page


@pytest.fixture(scope="module")
def service(database, tmp_path_factory):
    """A real server with an admin key and one stored failure, which is due to be sent again."""
    with web_server(database.url, tmp_path_factory.mktemp("web"), ADMIN_API_KEY=ADMIN_KEY) as server:
        url = f"http://127.0.0.1:{server.port}"
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        failed = {"contact": "+12025550199", "phone_number_id": NUMBER, "error": {"code": 130429}}
        failed["sent_at"] = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        assert httpx.post(f"{url}/v1/sends", json={"sends": [failed]}, headers=headers).is_success
        (found,) = httpx.get(f"{url}/v1/failures", headers=headers).json()["failures"]
        yield {"url": url, "id": str(found["id"])}
    database.empty()


@pytest.mark.parametrize(("kind", "code"), CHECKED)
def test_an_example_marked_as_checked_runs(service, tmp_path, kind, code):
    code = code.replace(SERVICE, service["url"]).replace(
        "localhost:8000", service["url"].removeprefix("http://")
    )
    if kind == "python":
        _run_python(service["url"], tmp_path, code)
        return
    if kind == "sh":
        command = [
            "bash",
            "-euo",
            "pipefail",
            "-c",
            'curl() { command curl --fail-with-body "$@"; }\n' + code,
        ]
    else:
        command = ["node", "--input-type=module", "-e", code]
    if shutil.which("curl" if kind == "sh" else "node") is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = os.environ | {"KEY": ADMIN_KEY, "ADMIN_API_KEY": ADMIN_KEY, "ID": service["id"]}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_senders_examples_raise_no_alert_and_suppress_nobody(service, database, tmp_path, now):
    """A reader types them into a live service. They run here, whatever other tests have run before."""
    for example in CHECKED:
        if example.id.startswith("senders.md"):
            test_an_example_marked_as_checked_runs(service, tmp_path, *example.values)
    engine = make_engine(database.url, application="tests")
    rules = load_rules(None)
    for minute in range(4):
        evaluate(engine, rules, now + timedelta(minutes=minute))
    suppress(engine, rules, Thresholds(), now + timedelta(minutes=5))
    with engine.connect() as connection:
        fired = connection.execute(text("SELECT severity, rule FROM alerts WHERE severity <> 'info'")).all()
        suppressed = connection.execute(text("SELECT count(*) FROM suppressions")).scalar_one()
    engine.dispose()
    assert (fired, suppressed) == ([], 0)


def _run_python(url, folder, code):
    client = Client(url, ADMIN_KEY)
    names = {"key": ADMIN_KEY, "contacts": ["+12025550117"], "number": NUMBER, "client": client}
    path = folder / "copy"
    exec(
        compile(code, "a page", "exec"),
        names | {"path": path, "send": lambda contact: f"wamid.{contact[1:]}"},
    )
    client.close()


def test_a_url_with_several_hosts_connects_to_the_writable_one(database_url, tmp_path):
    """The URL form of docs/operating.md, with an unreachable first host."""
    given = conninfo_to_dict(database_url)
    hosts = f"{tmp_path},{given['host']}"
    url = f"postgresql://{given['user']}@/{given['dbname']}?host={hosts}&target_session_attrs=read-write"
    with connect(url, application="tests") as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    engine = make_engine(url, application="tests", pool_size=0)
    with engine.connect() as other:
        assert other.exec_driver_sql("SELECT 1").scalar_one() == 1
