"""Aggregate endpoints: ranges of one ticker, grouped daily, previous day, daily open and close.

Add the choice, adjustment and format of bars here; summing bars belongs to `market.sums`.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from polygon_assets.local.exchange.market.day import SHARE
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.market.noise import Floats, Ints
from polygon_assets.local.exchange.market.sums import Sums, concatenated, empty, vwap
from polygon_assets.local.exchange.rest.query import (
    BadRequestError,
    Record,
    choice_of,
    flag_of,
    is_number,
    limit_of,
)
from polygon_assets.market_calendar import NEW_YORK, ONE_DAY

WIDTHS = {"second": 1, "minute": 60, "hour": 3600}
"""Seconds of the timespans that consist of seconds; all others consist of days."""
MONTHS = {"month": 1, "quarter": 3, "year": 12}
TIMESPANS = (*WIDTHS, "day", "week", *MONTHS)
_DAY_SECONDS = 86_400
_LARGEST_MULTIPLIER = 100_000
_LONGEST_RANGE_DAYS = 3_700
_LATEST_MS = 4_000_000_000_000


@dataclass(frozen=True)
class Range:
    """A request for `multiplier` x `timespan` windows from `first_ms` to `last_ms`, inclusive."""

    symbol: str
    multiplier: int
    timespan: str
    first_ms: int
    last_ms: int
    adjusted: bool
    descending: bool
    limit: int

    @property
    def is_of_days(self) -> bool:
        return self.timespan not in WIDTHS

    @property
    def first_day(self) -> dt.date:
        """The day of `first_ms`, or the first day of its week, month, quarter or year."""
        return _first_of(self.timespan, _day_of(self.first_ms))

    def window_of(self, day: dt.date) -> dt.date:
        """The first day of the window that contains a day."""
        if self.timespan in MONTHS:
            width = MONTHS[self.timespan] * self.multiplier
            return _moved(self.first_day, _months_between(self.first_day, day) // width * width)
        width = (7 if self.timespan == "week" else 1) * self.multiplier
        return self.first_day + (day - self.first_day).days // width * width * ONE_DAY

    def days(self) -> Iterator[dt.date]:
        """New York days in the order of the answer, to the end of the last window in the range."""
        last = _day_of(self.last_ms)
        if (last - self.first_day).days > _LONGEST_RANGE_DAYS:
            raise BadRequestError("the range is longer than ten years")
        if self.is_of_days:
            last = self._end_of_window(last)
        count = (last - self.first_day).days + 1
        return (
            last - offset * ONE_DAY if self.descending else self.first_day + offset * ONE_DAY
            for offset in range(count)
        )

    def _end_of_window(self, day: dt.date) -> dt.date:
        start = self.window_of(day)
        if self.timespan in MONTHS:
            return _moved(start, MONTHS[self.timespan] * self.multiplier) - ONE_DAY
        return start + ((7 if self.timespan == "week" else 1) * self.multiplier - 1) * ONE_DAY


def _day_of(moment_ms: int) -> dt.date:
    return dt.datetime.fromtimestamp(moment_ms / 1000, NEW_YORK).date()


def _first_of(timespan: str, day: dt.date) -> dt.date:
    """The first day of the timespan that contains a day; weeks begin on Sunday, as the vendor's."""
    if timespan == "week":
        return day - day.isoweekday() % 7 * ONE_DAY
    if timespan in MONTHS:
        return day.replace(month=1 + (day.month - 1) // MONTHS[timespan] * MONTHS[timespan], day=1)
    return day


def _months_between(first: dt.date, later: dt.date) -> int:
    return 12 * (later.year - first.year) + later.month - first.month


def _moved(first_of_month: dt.date, months: int) -> dt.date:
    count = 12 * first_of_month.year + first_of_month.month - 1 + months
    return dt.date(count // 12, count % 12 + 1, 1)


@dataclass(frozen=True)
class RangePage:
    """Windows in the order of the answer.

    `resume_ms` is the start (descending: the end) of the next page, None on the last page.
    """

    results: list[Record]
    base_count: int
    resume_ms: int | None


def parse_range(path: dict[str, str], query: dict[str, str]) -> Range:
    """The request of a range. Raises BadRequestError with the name of the wrong parameter."""
    if (
        not is_number(path["multiplier"])
        or not 1 <= int(path["multiplier"]) <= _LARGEST_MULTIPLIER
        or path["timespan"] not in TIMESPANS
    ):
        raise BadRequestError(
            f"unusable window '{path['multiplier']}/{path['timespan']}'; timespans are "
            f"{', '.join(TIMESPANS)}"
        )
    request = Range(
        symbol=path["ticker"],
        multiplier=int(path["multiplier"]),
        timespan=path["timespan"],
        first_ms=_moment(path["first"]),
        last_ms=_moment(path["last"], end_of_day=True),
        adjusted=is_adjusted(query),
        descending=choice_of(query, "sort", ("asc", "desc")) == "desc",
        limit=limit_of(query, 5_000, 50_000),
    )
    if not request.is_of_days and WIDTHS[request.timespan] * request.multiplier > _DAY_SECONDS:
        raise BadRequestError("windows longer than a day must be requested in days")
    if request.first_ms > request.last_ms:
        raise BadRequestError("'to' must not be before 'from'")
    return request


def is_adjusted(query: dict[str, str]) -> bool:
    return flag_of(query, "adjusted", default=True)


def aggregate_range(market: Market, request: Range, now: dt.datetime) -> RangePage:
    """One page: windows of at most `limit` base bars (seconds, minutes or days) before `now`."""
    if request.symbol not in market.universe.index:
        return RangePage([], 0, None)
    parts = list(_base_bars(market, request, now))
    if request.descending:
        parts.reverse()
    base = concatenated([sums for sums, _ in parts])
    starts = np.concatenate([starts for _, starts in parts]) if parts else base.start
    included = _within_limit(starts, request)
    records = _with_otc(market, base.where(included).windows(starts[included]))
    return RangePage(
        records[::-1] if request.descending else records,
        included.stop - included.start,
        _resume_ms(starts, included, request),
    )


def _base_bars(market: Market, request: Range, now: dt.datetime) -> Iterator[tuple[Sums, Ints]]:
    """Base bars and their windows' starts by day, until there are more than `limit`.

    The excess shows that another page follows.
    """
    count = 0
    for day in request.days():
        sums, starts = _of_day(market, request, day, int(now.timestamp()))
        if request.adjusted and len(sums):
            sums = sums.adjusted(market.splits.price_factor(request.symbol, day, today(now)))
        yield sums, starts
        count += len(sums)
        if count > request.limit:
            return


def _of_day(market: Market, request: Range, day: dt.date, until: int) -> tuple[Sums, Ints]:
    """A day's base bars and the starts of their windows.

    Windows count from New York midnight, windows of days from the first one; a window that `from`
    or `to` cuts is complete.
    """
    constants = market.trading_day(day)
    if constants is None or constants.start >= until:
        return empty(), empty().start
    if request.is_of_days:
        sums = market.day_sums(request.symbol, day, until)
        return sums, np.full(len(sums), _midnight(request.window_of(day)))
    midnight, width = _midnight(day), WIDTHS[request.timespan] * request.multiplier
    first_start = midnight + (request.first_ms // 1000 - midnight) // width * width
    sums = market.second_sums(request.symbol, day, until)
    starts = midnight + (sums.start - midnight) // width * width
    sums = sums.where((starts >= first_start) & (1000 * starts <= request.last_ms))
    if request.timespan != "second":
        sums = sums.windows(sums.start // 60 * 60)
    return sums, midnight + (sums.start - midnight) // width * width


def _within_limit(starts: Ints, request: Range) -> slice:
    """As many base bars as the limit allows, without an incomplete window."""
    count, limit = len(starts), request.limit
    if count <= limit:
        return slice(0, count)
    if request.descending:
        first = count - limit
        while starts[first] == starts[first - 1] and starts[first] != starts[-1]:
            first += 1
        return slice(first, count)
    end = limit
    while starts[end] == starts[end - 1] and starts[end - 1] != starts[0]:
        end -= 1
    return slice(0, end)


def _resume_ms(starts: Ints, included: slice, request: Range) -> int | None:
    if included.stop - included.start == len(starts):
        return None
    if request.descending:
        return 1000 * int(starts[included.start]) - 1
    return 1000 * int(starts[included.stop])


def grouped_daily(
    market: Market, day: dt.date, query: dict[str, str], now: dt.datetime
) -> list[Record]:
    """The day's bar of every ticker; today's bar up to now."""
    sums = market.grouped_sums(day, int(now.timestamp()))
    if not flag_of(query, "include_otc", default=False):
        sums = sums.where(~market.universe.otc[sums.ticker])
    if is_adjusted(query):
        sums = sums.adjusted(_factors(market, sums.ticker, day, today(now)))
    return _with_symbols(market, closing(market, day, sums))


def previous_day(
    market: Market, symbol: str, query: dict[str, str], now: dt.datetime
) -> list[Record]:
    """The bar of the last trading day before today; none for an unknown ticker."""
    if symbol not in market.universe.index:
        return []
    day = market.calendar.previous_day(today(now))
    sums = market.day_sums(symbol, day, int(now.timestamp()))
    if is_adjusted(query):
        sums = sums.adjusted(market.splits.price_factor(symbol, day, today(now)))
    return _with_symbols(market, closing(market, day, sums))


def open_close(
    market: Market, symbol: str, day: dt.date, query: dict[str, str], now: dt.datetime
) -> Record | None:
    """The day's official prices, and separate ones of extended hours.

    None if nothing was traded in regular hours.
    """
    session = market.calendar.session(day)
    if session is None or symbol not in market.universe.index:
        return None
    sums = market.second_sums(symbol, day, int(now.timestamp()))
    if is_adjusted(query):
        sums = sums.adjusted(market.splits.price_factor(symbol, day, today(now)))
    opened, closed = (session.regular_open.timestamp(), session.regular_close.timestamp())
    pre, post = sums.where(sums.start < opened), sums.where(sums.start >= closed)
    regular = sums.where((sums.start >= opened) & (sums.start < closed))
    if not len(regular):
        return None
    prices, whole = (
        records_of(part.windows(np.full(len(part), part.start[0])))[0] for part in (regular, sums)
    )
    return {
        "status": "OK",
        "from": str(day),
        "symbol": symbol,
        "open": prices["o"],
        "high": prices["h"],
        "low": prices["l"],
        "close": prices["c"],
        "volume": whole["v"],
        **({"afterHours": _dollars(post.close[-1])} if len(post) else {}),
        **({"preMarket": _dollars(pre.open[0])} if len(pre) else {}),
    }


def closing(market: Market, day: dt.date, sums: Sums) -> Sums:
    """The bars with the day's regular close as time, as daily endpoints return them."""
    session = market.calendar.session(day)
    return (
        replace(sums, start=np.full(len(sums), int(session.regular_close.timestamp())))
        if session
        else sums
    )


def records_of(sums: Sums) -> list[Record]:
    """Bars with the vendor's field names; whole volumes as integers."""
    names = ("o", "c", "h", "l", "vw", "v", "t", "n")
    prices = [
        np.round(column / 100, 4).tolist()
        for column in (sums.open, sums.close, sums.high, sums.low)
    ]
    average = vwap(sums.notional, sums.volume).tolist()
    volumes = [
        int(volume) if volume.is_integer() else volume
        for volume in np.round(sums.volume / SHARE, 6).tolist()
    ]
    columns = (*prices, average, volumes, (1000 * sums.start).tolist(), sums.trades.tolist())
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def today(now: dt.datetime) -> dt.date:
    return now.astimezone(NEW_YORK).date()


def parse_date(text: str) -> dt.date:
    """A date of the URL. Raises BadRequestError."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadRequestError(f"'{text}' is not a date (YYYY-MM-DD)") from None


def _with_symbols(market: Market, sums: Sums) -> list[Record]:
    symbols = market.universe.symbols
    return [
        {"T": symbols[number]} | record
        for number, record in zip(sums.ticker.tolist(), _with_otc(market, sums), strict=True)
    ]


def _with_otc(market: Market, sums: Sums) -> list[Record]:
    """Bars with `otc` where it is true; the vendor omits the field elsewhere."""
    otc = market.universe.otc[sums.ticker].tolist()
    return [
        record | {"otc": True} if over_the_counter else record
        for over_the_counter, record in zip(otc, records_of(sums), strict=True)
    ]


def _factors(market: Market, tickers: Ints, day: dt.date, until: dt.date) -> Floats:
    return np.array(
        [
            market.splits.price_factor(market.universe.symbols[number], day, until)
            for number in tickers.tolist()
        ]
    )


def _dollars(cents: float) -> float:
    return round(float(cents) / 100, 4)


def _midnight(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(0), NEW_YORK).timestamp())


def _moment(text: str, *, end_of_day: bool = False) -> int:
    """Unix milliseconds of a number or of a New York date."""
    if is_number(text) and int(text) < _LATEST_MS:
        return int(text)
    day = parse_date(text)
    return 1000 * _midnight(day + ONE_DAY) - 1 if end_of_day else 1000 * _midnight(day)
