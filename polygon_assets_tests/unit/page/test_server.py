"""Who may reach the page."""

import pytest

from polygon_assets.page.server import PageError, check_login


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_this_machine_needs_no_login(host: str) -> None:
    check_login(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "market.example.com"])
def test_other_machines_need_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PageError, match=f"--host {host} lets other machines in"):
        check_login(host)
    monkeypatch.setenv("PANEL_BASIC_AUTH", "password")
    check_login(host)
