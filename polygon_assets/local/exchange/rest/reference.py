"""Reference endpoints: tickers, types, exchanges, splits and the market's opening hours.

Add an endpoint about reference data here; prices and volumes belong to `aggregates`.
"""

import datetime as dt
from operator import itemgetter

import numpy as np

from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.market.noise import Ints, bits, hashed
from polygon_assets.local.exchange.market.universe import SECURITY_TYPES, Universe
from polygon_assets.local.exchange.rest import query as queries
from polygon_assets.local.exchange.rest.aggregates import parse_date, today
from polygon_assets.local.exchange.rest.query import BadRequestError, Record
from polygon_assets.market_calendar import NEW_YORK, ONE_DAY

EXCHANGES = (
    (1, "exchange", "NYSE American, LLC", "AMEX", "XASE", "XNYS", "A"),
    (2, "exchange", "Nasdaq OMX BX, Inc.", "", "XBOS", "XNAS", "B"),
    (10, "exchange", "New York Stock Exchange", "NYSE", "XNYS", "XNYS", "N"),
    (11, "exchange", "NYSE Arca, Inc.", "", "ARCX", "XNYS", "P"),
    (12, "exchange", "Nasdaq", "", "XNAS", "XNAS", "T"),
    (15, "exchange", "Investors Exchange", "", "IEXG", "IEXG", "V"),
    (18, "exchange", "Cboe BZX", "", "BATS", "XCBO", "Z"),
    (62, "ORF", "OTC Equity Security", "", "OOTC", "FINR", ""),
)
_TICKER_FILTERS = ("ticker", "type", "market", "cik")
_TICKER_NAMES = (
    *queries.ranges(*_TICKER_FILTERS),
    *("exchange", "cusip", "date", "search", "active", "order", "sort", "limit", "at", "offset"),
)
_SPLIT_FILTERS = (
    "ticker",
    "id",
    "execution_date",
    "split_from",
    "split_to",
    "adjustment_type",
    "historical_adjustment_factor",
)
_PAGE_NAMES = ("sort", "limit", "offset")
_ASSET_CLASSES = ("stocks", "options", "crypto", "fx", "indices", "futures", "otc")
_LOCALES = ("us", "global")
_SORTS = {
    "ticker",
    "name",
    "market",
    "type",
    "primary_exchange",
    "cik",
    "last_updated_utc",
    "delisted_utc",
    "currency_name",
    "locale",
}
_SPLIT_SORTS = {"execution_date", "ticker", "split_from", "split_to", "adjustment_type", "id"}
_ANNOUNCED_DAYS = 14
_UPCOMING_DAYS = 400


def ticker_types(query: dict[str, str]) -> list[Record]:
    records: list[Record] = [
        {"code": code, "description": text, "asset_class": "stocks", "locale": "us"}
        for code, text in SECURITY_TYPES.items()
    ]
    return _of_class(records, query)


def _of_class(records: list[Record], query: dict[str, str]) -> list[Record]:
    """The records of the requested asset class and locale; this market has only US stocks."""
    queries.check_names(query, ("asset_class", "locale"))
    for name, choices in (("asset_class", _ASSET_CLASSES), ("locale", _LOCALES)):
        if name in query:
            choice = queries.choice_of(query, name, choices)
            records = [record for record in records if record[name] == choice]
    return records


def exchanges(query: dict[str, str]) -> list[Record]:
    names = ("id", "type", "name", "acronym", "mic", "operating_mic", "participant_id")
    records = [dict(zip(names, row, strict=True)) for row in EXCHANGES]
    complete = [
        {key: value for key, value in record.items() if value}
        | {"asset_class": "stocks", "locale": "us"}
        for record in records
    ]
    return _of_class(complete, query)


def tickers(market: Market, query: dict[str, str], now: dt.datetime) -> queries.Page:
    """One page of tickers; the next page repeats the last ticker.

    The vendor is known to do so, and clients must handle it.
    """
    queries.check_names(query, _TICKER_NAMES)
    if (sort := query.get("sort", "ticker")) not in _SORTS:
        raise BadRequestError(f"cannot sort by '{sort}'")
    # The cursor contains the time, so that a list does not shift between its pages.
    query = {"at": now.isoformat()} | query
    moment = dt.datetime.fromisoformat(query["at"])
    if "date" in query:
        moment = dt.datetime.combine(parse_date(query["date"]), dt.time(23, 59, 59), NEW_YORK)
    records = _listed(market, query, moment)
    records = queries.matching(records, query, _TICKER_FILTERS)
    if mic := query.get("exchange"):
        records = [record for record in records if record.get("primary_exchange") == mic]
    if cusip := query.get("cusip"):
        records = [record for record in records if cusip_of(record["cik"]) == cusip.upper()]
    if text := query.get("search", "").lower():
        records = [
            record
            for record in records
            if text in record["ticker"].lower() or text in record["name"].lower()
        ]
    return queries.page(
        queries.ordered(records, sort, query.get("order", "asc")),
        query,
        queries.limit_of(query, 100, 1000),
        overlap=1,
    )


def _listed(market: Market, query: dict[str, str], moment: dt.datetime) -> list[Record]:
    """The tickers listed at this time, or, with active=false, the delisted ones."""
    universe, day = market.universe, today(moment).toordinal()
    active = queries.flag_of(query, "active", default=True)
    chosen = universe.trading(day) if active else universe.delisted <= day
    if exact := query.get("ticker"):
        chosen = chosen & (universe.keys == universe.index.get(exact, -1))
    numbers = np.flatnonzero(chosen)
    keys = hashed(market.seed, 10, numbers).tolist()
    updated = last_updated(market, moment)[numbers].tolist()
    return [
        _ticker(universe, number, key, second, active)
        for number, key, second in zip(numbers.tolist(), keys, updated, strict=True)
    ]


def cusip_of(cik: str) -> str:
    """A ticker's CUSIP, which a filter may contain; like the vendor, no answer shows it.

    The vendor omits CUSIPs for legal reasons.
    """
    return f"S{cik[-7:]}{sum(map(int, cik)) % 10}"


def last_updated(market: Market, moment: dt.datetime) -> Ints:
    """Per ticker: the Unix second of its last change at or before `moment`.

    A ticker changes when it is listed, when it is delisted, and in between at its own interval of
    60 to 571 days, so that some tickers change each day.
    """
    keys = hashed(market.seed, 9, market.universe.keys)
    period = 86_400 * (60 + bits(keys, 0, 9))
    phase = bits(keys, 9, 40) % period
    listed, delisted = (
        _midnight(days) for days in (market.universe.listed, market.universe.delisted)
    )
    at = np.minimum(int(moment.timestamp()), delisted)
    changed = np.where(at == delisted, delisted, at - (at - phase) % period)
    seconds: Ints = np.maximum(changed, np.where(listed <= at, listed, 0))
    return seconds


def _midnight(days: Ints) -> Ints:
    """The Unix second of these days' (ordinals) midnight in New York, an hour late in summer."""
    return 86_400 * (days - dt.date(1970, 1, 1).toordinal()) + 5 * 3600


def _ticker(universe: Universe, number: int, key: int, updated: int, active: bool) -> Record:
    otc = bool(universe.otc[number])
    return {
        "ticker": universe.symbols[number],
        "name": universe.names[number],
        "market": "otc" if otc else "stocks",
        "locale": "us",
        **({} if otc else {"primary_exchange": universe.exchanges[number]}),
        "type": universe.types[number],
        "active": active,
        "currency_name": "usd",
        "cik": f"{key % 10**7:010d}",
        "composite_figi": f"BBG{key % 10**9:09d}",
        "share_class_figi": f"BBG{key // 10**9 % 10**9:09d}",
        "last_updated_utc": f"{_utc(updated)}.{key % 10**9:09d}Z",
        **(
            {}
            if active
            else {
                "delisted_utc": f"{dt.date.fromordinal(int(universe.delisted[number]))}T00:00:00Z"
            }
        ),
    }


def splits(market: Market, query: dict[str, str], now: dt.datetime) -> queries.Page:
    """/v3/reference/splits, newest first by default."""
    queries.check_names(
        query,
        (
            *queries.ranges("ticker", "execution_date", "split_from", "split_to", "id"),
            "reverse_split",
            "order",
            *_PAGE_NAMES,
        ),
    )
    reverse = queries.choice_of(query, "reverse_split", ("", "true", "false"))
    records: list[Record] = [
        {
            "execution_date": str(split.execution_date),
            "id": split.identifier,
            **_ratio(split.split_from, split.split_to),
            "ticker": split.ticker,
        }
        for split in market.splits.all
        if split.execution_date <= _announced(now)
        if reverse in ("", str(split.split_from > split.split_to).lower())
    ]
    queries.check_dates(query, "execution_date")
    records = queries.matching(records, query, _SPLIT_FILTERS)
    if (sort := query.get("sort", "execution_date")) not in _SPLIT_SORTS - {"adjustment_type"}:
        raise BadRequestError(f"cannot sort by '{sort}'")
    records = queries.ordered(records, sort, query.get("order", "desc"))
    return queries.page(records, query, queries.limit_of(query, 10, 1000))


def splits_v1(market: Market, query: dict[str, str], now: dt.datetime) -> queries.Page:
    """/stocks/v1/splits, with the factor that makes older prices comparable with today's."""
    queries.check_names(query, (*queries.ranges(*_SPLIT_FILTERS), *_PAGE_NAMES))
    until = _announced(now)
    records: list[Record] = [
        {
            "id": split.identifier,
            "execution_date": str(split.execution_date),
            **_ratio(split.split_from, split.split_to),
            "ticker": split.ticker,
            "adjustment_type": split.adjustment_type,
            "historical_adjustment_factor": market.splits.price_factor(
                split.ticker, split.execution_date - ONE_DAY, until
            ),
        }
        for split in market.splits.all
        if split.execution_date <= until
    ]
    queries.check_dates(query, "execution_date")
    records = queries.matching(records, query, _SPLIT_FILTERS)
    for part in reversed(query.get("sort", "execution_date.desc").split(",")):
        field, _, order = part.partition(".")
        if field not in _SPLIT_SORTS or order not in ("", "asc", "desc"):
            raise BadRequestError(f"cannot sort by '{part}'")
        records = sorted(records, key=itemgetter(field), reverse=order == "desc")
    return queries.page(records, query, queries.limit_of(query, 100, 5000))


def _ratio(split_from: int, split_to: int) -> dict[str, int]:
    return {"split_from": split_from, "split_to": split_to}


def _announced(now: dt.datetime) -> dt.date:
    return today(now) + _ANNOUNCED_DAYS * ONE_DAY


def market_status(market: Market, now: dt.datetime) -> Record:
    """/v1/marketstatus/now: `market` is open, extended-hours or closed."""
    session = market.calendar.session_at(now)
    phase = session.phase(now) if session else "closed"
    state = {
        "pre": "extended-hours",
        "regular": "open",
        "post": "extended-hours",
        "closed": "closed",
    }[phase]
    return {
        "market": state,
        "earlyHours": phase == "pre",
        "afterHours": phase == "post",
        "serverTime": now.astimezone(NEW_YORK).isoformat(timespec="seconds"),
        "exchanges": dict.fromkeys(("nyse", "nasdaq", "otc"), state),
        "currencies": {"fx": "open", "crypto": "open"},
    }


def upcoming(market: Market, now: dt.datetime) -> list[Record]:
    """/v1/marketstatus/upcoming: the next year's holidays and early closes, a row per exchange."""
    first = today(now) + ONE_DAY
    days = [first + offset * ONE_DAY for offset in range(_UPCOMING_DAYS)]
    exceptions = [(day, exception) for day in days if (exception := _exception(market, day))]
    return [
        {
            "date": str(day),
            "exchange": exchange,
            "name": "Holiday" if exception["status"] == "closed" else "Early Close",
            **exception,
        }
        for day, exception in exceptions
        for exchange in ("NYSE", "NASDAQ", "OTC")
    ]


def _exception(market: Market, day: dt.date) -> dict[str, str] | None:
    session = market.calendar.session(day)
    if session is None:
        return {"status": "closed"} if day.weekday() < 5 else None
    if market.calendar.name != "NYSE" or session.regular_close.astimezone(
        NEW_YORK
    ).time() >= dt.time(16):
        return None
    return {
        "status": "early-close",
        "open": _iso(session.regular_open),
        "close": _iso(session.regular_close),
    }


def _iso(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _utc(second: int) -> str:
    return dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
