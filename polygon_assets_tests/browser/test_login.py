"""A page with a password: nothing is shown, and no address answers, without it."""

from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import WebSocket, expect

from polygon_assets.local.launcher.ports import HOST
from polygon_assets_tests.browser.conftest import Visit, running_page
from polygon_assets_tests.planted_secrets import PLANTED, leaks

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
PASSWORD = PLANTED["PAGE_PASSWORD"]
VIEWS = ("/", "/trust", "/cost", "/symbol/AAPL?at=2026-11-20T15:00:05", "/day/2026-11-20")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that asks for PASSWORD; its ClickHouse is away."""
    log = tmp_path_factory.mktemp("page") / "page.log"
    variables = {
        **PLANTED,
        **{"CLICKHOUSE_HOST": HOST, "CLICKHOUSE_PORT": "9", "CLICKHOUSE_SECURE": "false"},
        **{"SNOWFLAKE_ACCOUNT": "away", "SNOWFLAKE_HOST": HOST, "SNOWFLAKE_PORT": "9"},
    }
    with running_page(variables, log) as address:
        yield address
    assert leaks(log.read_text()) == []


@pytest.mark.parametrize("path", VIEWS)
def test_each_view_asks_for_the_password_first(visit: Visit, locked: str, path: str) -> None:
    password = visit.page.get_by_label("Password")
    visit.page.goto(locked + path)
    expect(password).to_be_visible()
    password.fill(PASSWORD)
    password.press("Enter")
    expect(visit.page.get_by_role("navigation")).to_be_visible()
    assert visit.page.url == locked + path


def test_a_board_without_any_answer_says_what_is_away(visit: Visit, locked: str) -> None:
    visit.page.goto(locked)
    visit.page.get_by_label("Password").fill(PASSWORD)
    visit.page.get_by_label("Password").press("Enter")
    expect(visit.page.get_by_text("0 symbols")).to_be_visible()
    expect(visit.page.get_by_role("alert").first).to_contain_text("ClickHouse")


def test_no_secret_of_the_settings_reaches_the_browser(visit: Visit, locked: str) -> None:
    received = list[str]()

    def note(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: received.append(str(frame)))

    visit.page.on("websocket", note)
    visit.page.goto(locked)
    visit.page.get_by_label("Password").fill(PASSWORD)
    visit.page.get_by_label("Password").press("Enter")
    for view in VIEWS:
        visit.page.goto(locked + view)
        expect(visit.page.get_by_role("alert").first).to_contain_text("polygon-assets status")
        assert any("polygon-assets status" in frame for frame in received)
        assert leaks("".join([visit.page.content(), *received])) == []
        received.clear()


def test_a_wrong_password_is_refused_in_words(visit: Visit, locked: str) -> None:
    visit.page.goto(locked)
    password = visit.page.get_by_label("Password")
    for entered in (PASSWORD.upper(), "x' OR ''='"):
        password.fill(entered)
        password.press("Enter")
        refusal = visit.page.get_by_role("alert")
        expect(refusal).to_have_text("That is not the password of this page.")


@pytest.mark.parametrize(
    ("password", "status"), [(PASSWORD, 200), (PASSWORD.upper(), 302), ("", 302)]
)
def test_only_the_password_opens_the_page(locked: str, password: str, status: int) -> None:
    with requests.Session() as visitor:
        form = {"username": "anyone", "password": password}
        visitor.post(f"{locked}/login?next=%2F", form, timeout=30, allow_redirects=False)
        answer = visitor.get(f"{locked}/", timeout=30, allow_redirects=False)
    assert answer.status_code == status
