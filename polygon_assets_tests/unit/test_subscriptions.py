"""The subscription CSV: what is accepted, and a reason for each line that is not."""

import pytest

from polygon_assets.subscriptions import accept, difference, estimate, parse

KNOWN = {"AAPL", "MSFT", "BRK.B"}


def test_channels_are_sorted_and_notes_and_blank_lines_are_allowed() -> None:
    parsed = parse('\ufeffchannel,note\nA.MSFT,"software, mostly"\n\nA.AAPL,\nA.BRK.B\n', KNOWN)
    assert parsed.bad_lines == ()
    assert parsed.channels == ("A.AAPL", "A.BRK.B", "A.MSFT")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("channel\nAAPL\n", 2, "written A.<TICKER>"),
        ("channel\nA.\n", 2, "written A.<TICKER>"),
        ("channel\nT.AAPL\n", 2, "unknown channel 'T'"),
        ("channel\nA.aapl\n", 2, "not a ticker symbol"),
        ("channel\nA.APPL\n", 2, "'APPL' is not in the vendor's reference data"),
        ("channel\nA.AAPL\nA.MSFT\nA.AAPL\n", 4, "duplicate of line 2"),
        ("channel\nA.AAPL\nA.*\n", 3, "A.* already holds every symbol"),
        ("channel\nA.AAPL,x\n", 2, "2 values for 1 columns"),
        ("symbol\nAAPL\n", 1, "header"),
        ("channel,price\nA.AAPL,1\n", 1, "unknown column 'price'"),
        ("channel\n", 1, "names no channel"),
        ("", 1, "header"),
    ],
)
def test_each_bad_line_is_named_with_its_reason(text: str, line: int, reason: str) -> None:
    [bad] = parse(text, KNOWN).bad_lines
    assert bad.number == line
    assert reason in bad.reason


def test_every_bad_line_is_listed_not_only_the_first() -> None:
    assert [bad.number for bad in parse("channel\nx\nA.AAPL\ny\n", KNOWN).bad_lines] == [2, 4]


def test_a_wildcard_keeps_every_symbol() -> None:
    accepted = accept("channel\nA.*\n", ("A.*",), '"etag"', "2026-11-22T00:00:00Z")
    assert accepted.symbols is None
    assert accepted.version.startswith("etag-")


def test_the_version_changes_with_the_content() -> None:
    first = accept("channel\nA.AAPL\n", ("A.AAPL",), "e", "now")
    second = accept("channel\nA.MSFT\n", ("A.MSFT",), "e", "now")
    assert first.version != second.version
    assert first.symbols == frozenset({"AAPL"})


def test_difference_names_what_came_and_went() -> None:
    change = difference(["A.AAPL", "A.MSFT"], ["A.MSFT", "A.TSLA"])
    assert (change.added, change.removed) == (("A.TSLA",), ("A.AAPL",))


def test_the_estimate_of_a_wildcard_is_the_whole_market() -> None:
    assert estimate(["A.*"]).events_per_second == 1000
    assert estimate(["A.AAPL"]).rows_per_day == 23_400
