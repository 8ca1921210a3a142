"""The subscription CSV: accepted spellings, and a reason for each refused line."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.subscriptions import accept, difference, parse

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
        ("channel\nA.AAPL\nA.*\n", 3, "A.* already includes every symbol"),
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


@pytest.mark.parametrize(
    "text",
    [
        '"channel","note"\nA.AAPL,a note\n',
        "Channel , NOTE\nA.AAPL,a note\n",
        "channel,note,,\nA.AAPL,a note,,\n,,,\n,,,\n",
        "channel,note\nA.AAPL,a note,,,,\n",
        ",channel,note\n,A.AAPL,a note\n",
        "\n,,\nchannel\nA.AAPL\n",
        "channel\rA.AAPL\r",
        "channel\r\nA.AAPL\r\n",
        'channel,note\nA.AAPL,"first\nsecond"\n',
        'channel,note\nA.AAPL,"pair trade against\nA.MSFT,"\n',
        'channel,note\nA.AAPL, "pair trade against\nA.MSFT,"\n',
        'channel,note\r\nA.AAPL,"pair trade against\r\nA.MSFT,"\r\n',
        'channel,note\n"A.AAPL","he said ""buy""\n\nA.MSFT,"\n',
        "channel,note\nA.AAPL,before\u2028A.MSFT\n",
        "channel,note\nA.AAPL,before\x85A.MSFT\n",
        "channel,note\nA.AAPL,before\x0b\x0c\x1cA.MSFT\n",
        'channel,note\nA.AAPL,a 5" drive\n',
    ],
)
def test_variants_that_people_and_spreadsheets_write_are_read(text: str) -> None:
    parsed = parse(text, KNOWN)
    assert parsed.bad_lines == ()
    assert parsed.channels == ("A.AAPL",)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (
            "channel,channel\nA.AAPL,A.MSFT\n",
            1,
            "'channel' occurs more than once (columns 1 and 2)",
        ),
        (
            "channel,note,Channel\nA.AAPL,,A.MSFT\n",
            1,
            "'channel' occurs more than once (columns 1 and 3)",
        ),
        ("channel,note,note\nA.AAPL,,\n", 1, "'note' occurs more than once (columns 2 and 3)"),
        ("channel;note\nA.AAPL;x\n", 1, "not separated by commas"),
        ("channel\tnote\nA.AAPL\tx\n", 1, "not separated by commas"),
        ("\ufffd\ufffdc\0h\0a\0n\0n\0e\0l\0\n", 1, "not UTF-8"),
        ('channel,note\nA.AAPL,"never closed\nA.MSFT,x\n', 2, "close every quote"),
        ('channel,note\nA.AAPL,"closed" too early\n', 2, "close every quote"),
        ('"channel\nA.AAPL\n', 1, "close every quote"),
        (
            'channel,note\nA.AAPL,"first\nsecond"\nA.XXXX,\n',
            4,
            "'XXXX' is not in the vendor's reference data",
        ),
        ("channel,note\nA.AAPL,x,,y\n", 2, "'y' is in a column without a name"),
        (",channel\nx,A.AAPL\n", 2, "'x' is in a column without a name"),
        ("channel,note\n,a note without a channel\n", 2, "written A.<TICKER>"),
        ("channel\n,\n,,\n", 1, "names no channel"),
        ("\n\n", 1, "header"),
    ],
)
def test_a_file_that_is_not_one_table_is_refused(text: str, line: int, reason: str) -> None:
    [bad] = parse(text, KNOWN).bad_lines
    assert bad.number == line
    assert reason in bad.reason


def test_a_bad_quote_costs_only_its_own_record() -> None:
    parsed = parse('channel,note\nA.AAPL,"x"y\nA.MSFT,"z"\n', KNOWN)
    assert [bad.number for bad in parsed.bad_lines] == [2]
    assert parsed.channels == ("A.MSFT",)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(sorted(KNOWN)), st.text()),
        min_size=1,
        max_size=3,
        unique_by=lambda row: row[0],
    ),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_no_note_of_a_csv_writer_changes_the_channels_of_its_file(
    rows: list[tuple[str, str]], end: str
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerow(["channel", "note"])
    writer.writerows([f"A.{symbol}", note] for symbol, note in rows)
    parsed = parse(file.getvalue(), KNOWN)
    assert parsed.bad_lines == ()
    assert parsed.channels == tuple(sorted(f"A.{symbol}" for symbol, _ in rows))


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


def test_difference_lists_added_and_removed_channels() -> None:
    change = difference(["A.AAPL", "A.MSFT"], ["A.MSFT", "A.TSLA"])
    assert (change.added, change.removed) == (("A.TSLA",), ("A.AAPL",))
