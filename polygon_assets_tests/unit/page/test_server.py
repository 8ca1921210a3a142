"""Who may reach the page, and what a visitor without a login gets."""

import pytest
from pydantic import SecretStr

from polygon_assets.page.server import PageError, login
from polygon_assets.settings import Settings

OPEN = Settings()
LOCKED = Settings(page_password=SecretStr("Pass Word"), page_cookie_secret=SecretStr("random"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_this_machine_needs_no_login(host: str) -> None:
    assert login(OPEN, host) == {}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "market.example.com"])
def test_other_machines_need_one(host: str) -> None:
    with pytest.raises(PageError, match=f"--host {host} lets other machines in"):
        login(OPEN, host)
    options = login(LOCKED, host)
    assert (options["basic_auth"], options["cookie_secret"]) == ("Pass Word", "random")


def test_a_password_counts_on_this_machine_too() -> None:
    assert login(LOCKED, "127.0.0.1")["basic_auth"] == "Pass Word"


def test_a_login_needs_the_secret_of_its_cookies() -> None:
    with pytest.raises(PageError, match="PAGE_COOKIE_SECRET"):
        login(Settings(page_password=SecretStr("Pass Word")), "0.0.0.0")


def test_oauth_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PROVIDER", "github"), ("KEY", "id"), ("SECRET", "hidden")):
        monkeypatch.setenv(f"PANEL_OAUTH_{name}", value)
    options = login(Settings(page_cookie_secret=SecretStr("random")), "0.0.0.0")
    assert (options["oauth_provider"], options["oauth_secret"]) == ("github", "hidden")
