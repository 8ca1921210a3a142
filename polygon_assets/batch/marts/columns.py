"""The marts as data: keys, columns with type and description, and whether they fill day by day.

Add a mart or a column here; the query of its rows belongs to the SQL file of the same name. Prices
are US dollars, unadjusted unless a column's description states otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

from polygon_assets.batch.raw import column_types
from polygon_assets.batch.raw.column_types import ColumnType

SCHEMA = "MARTS"
_DIRECTORY = resources.files("polygon_assets.batch.marts")
_TYPES = {
    kind.name: kind
    for kind in (
        column_types.VARCHAR,
        column_types.INTEGER,
        column_types.FLOAT,
        column_types.BOOLEAN,
        column_types.DATE,
        column_types.TIMESTAMP_TZ,
        column_types.VOLUME,
    )
}

Column = tuple[str, str, str]
"""Name, type, and meaning with its unit."""


@dataclass(frozen=True)
class Mart:
    """One table of the schema MARTS."""

    name: str
    """In lower case; the table has the same name in upper case."""
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    by_day: bool = False
    """Whether each build fills one TRADING_DAY."""
    required: tuple[str, ...] = ()
    """Columns, besides the primary key, without which a row is useless."""
    references: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By column with values of another mart: that mart's name and column."""

    @property
    def table(self) -> str:
        return f"{SCHEMA}.{self.name.upper()}"

    @property
    def sql(self) -> str | None:
        """The query of the mart's rows, with `%(day)s` if filled by day; None without a file."""
        file = _DIRECTORY / f"{self.name}.sql"
        return file.read_text() if file.is_file() else None

    @property
    def kept_sql(self) -> str | None:
        """The query of the tickers whose rows a build keeps; None if it rebuilds all rows."""
        file = _DIRECTORY / f"{self.name}_kept.sql"
        return file.read_text() if file.is_file() else None

    @property
    def types(self) -> dict[str, ColumnType]:
        """By column."""
        return {name: _TYPES[kind] for name, kind, _ in self.columns}

    @property
    def definitions(self) -> dict[str, str]:
        """By column, for CREATE TABLE."""
        return {name: self._definition(name, kind, meaning) for name, kind, meaning in self.columns}

    def _definition(self, name: str, kind: str, meaning: str) -> str:
        null = " NOT NULL" if name in self.primary_key else ""
        comment = meaning.replace("'", "''")
        return f"{kind}{null} COMMENT '{comment}'"


_TICKER = ("TICKER", "VARCHAR", "Symbol, case-sensitive.")
_TRADING_DAY = ("TRADING_DAY", "DATE", "Trading day in New York.")
_ADJUSTED = "dollars, adjusted to the newest day's shares"

_DIM_EXCHANGE = Mart(
    name="dim_exchange",
    primary_key=("EXCHANGE_ID",),
    required=("NAME",),
    columns=(
        ("EXCHANGE_ID", "NUMBER(38,0)", "The vendor's number of the exchange."),
        ("MIC", "VARCHAR", "Market identifier code (ISO 10383); several facilities may share one."),
        ("OPERATING_MIC", "VARCHAR", "Market identifier code of the operator."),
        ("NAME", "VARCHAR", "Name."),
        ("ACRONYM", "VARCHAR", "Common short name, if any."),
        (
            "TYPE",
            "VARCHAR",
            "exchange, TRF (trade reporting facility), SIP or ORF (OTC reporting facility).",
        ),
        ("PARTICIPANT_ID", "VARCHAR", "Letter on the consolidated tape."),
        ("LOCALE", "VARCHAR", "Country, such as us."),
        ("URL", "VARCHAR", "Address of its web site."),
    ),
)
_DIM_TICKER = Mart(
    name="dim_ticker",
    primary_key=("TICKER",),
    required=("MARKET", "ACTIVE"),
    references={"PRIMARY_EXCHANGE": ("dim_exchange", "MIC")},
    columns=(
        _TICKER,
        ("NAME", "VARCHAR", "Name of the company or fund."),
        ("MARKET", "VARCHAR", "stocks (listed on an exchange) or otc."),
        ("LOCALE", "VARCHAR", "Country, such as us."),
        ("ACTIVE", "BOOLEAN", "Whether the security is listed now."),
        ("TYPE", "VARCHAR", "Code of the security's type, such as CS."),
        ("TYPE_DESCRIPTION", "VARCHAR", "The type in words, such as Common Stock."),
        (
            "PRIMARY_EXCHANGE",
            "VARCHAR",
            "Market identifier code of the listing exchange; empty over the counter.",
        ),
        ("EXCHANGE_NAME", "VARCHAR", "Name of the listing exchange."),
        ("CURRENCY_NAME", "VARCHAR", "Trading currency, such as usd."),
        ("CIK", "VARCHAR", "Central index key of the issuer at the SEC, with leading zeros."),
        ("COMPOSITE_FIGI", "VARCHAR", "OpenFIGI number of the security in its country."),
        ("SHARE_CLASS_FIGI", "VARCHAR", "OpenFIGI number of the share class."),
        ("LAST_UPDATED_UTC", "TIMESTAMP_TZ", "When the vendor last changed the entry (UTC)."),
        (
            "DELISTED_UTC",
            "TIMESTAMP_TZ",
            "When the security was delisted (UTC); empty while listed.",
        ),
    ),
)
_DIM_STOCK_SPLIT = Mart(
    name="dim_stock_split",
    primary_key=("SPLIT_ID",),
    required=("TICKER", "EXECUTION_DATE", "PRICE_FACTOR"),
    references={"TICKER": ("dim_ticker", "TICKER")},
    columns=(
        ("SPLIT_ID", "VARCHAR", "The vendor's identifier of the event."),
        _TICKER,
        (
            "EXECUTION_DATE",
            "DATE",
            "First day (New York) of trading at the new price, pre-market included.",
        ),
        ("SPLIT_FROM", "FLOAT", "Number of old shares that become SPLIT_TO new ones."),
        ("SPLIT_TO", "FLOAT", "Number of new shares that replace SPLIT_FROM old ones."),
        (
            "PRICE_FACTOR",
            "FLOAT",
            "Factor on earlier prices for this event alone; empty if the ratio is unusable.",
        ),
        ("ADJUSTMENT_TYPE", "VARCHAR", "forward_split, reverse_split or stock_dividend."),
        (
            "HISTORICAL_ADJUSTMENT_FACTOR",
            "FLOAT",
            "The vendor's own factor, multiplied over all later events, announced ones included.",
        ),
        (
            "STATUS",
            "VARCHAR",
            "applied, decided (by a person), repeated (the same ratio again), no effect, "
            "unusable (no ratio), overruled (by a decision) or undecided (contradicts another "
            "entry or has no day: the ticker's adjusted prices stay unchanged until a person "
            "decides).",
        ),
    ),
)
_FACT_DAILY_TRADING = Mart(
    name="fact_daily_trading",
    primary_key=("TICKER", "TRADING_DAY"),
    by_day=True,
    required=("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"),
    references={"TICKER": ("dim_ticker", "TICKER")},
    columns=(
        _TICKER,
        _TRADING_DAY,
        ("OPEN", "FLOAT", "Price of the first trade in regular hours, dollars, unadjusted."),
        ("HIGH", "FLOAT", "Highest price in regular hours, dollars, unadjusted."),
        ("LOW", "FLOAT", "Lowest price in regular hours, dollars, unadjusted."),
        ("CLOSE", "FLOAT", "Price of the last trade in regular hours, dollars, unadjusted."),
        ("VOLUME", "NUMBER(28,6)", "Shares traded, exact; fractions of shares are traded."),
        ("VWAP", "FLOAT", "Average price weighted by volume, dollars, unadjusted."),
        ("TRANSACTIONS", "NUMBER(38,0)", "Number of trades."),
        (
            "OFFICIAL_OPEN",
            "FLOAT",
            "First price of regular hours, dollars, unadjusted; only for subscribed symbols.",
        ),
        (
            "OFFICIAL_CLOSE",
            "FLOAT",
            "Last price of regular hours, dollars, unadjusted; only for subscribed symbols.",
        ),
        (
            "PRE_MARKET",
            "FLOAT",
            "First price before regular hours, dollars, unadjusted; empty without a trade then.",
        ),
        (
            "AFTER_HOURS",
            "FLOAT",
            "Last price after regular hours, dollars, unadjusted; empty without a trade then.",
        ),
        ("OTC", "BOOLEAN", "Whether the ticker is traded over the counter."),
        ("WINDOW_START", "TIMESTAMP_TZ", "The vendor's time stamp of the bar (UTC)."),
        (
            "LOADED_AT",
            "TIMESTAMP_TZ",
            "When the newest source of the row was read from the vendor (UTC).",
        ),
    ),
)
_DAILY_PRICES_ADJUSTED = Mart(
    name="daily_prices_adjusted",
    primary_key=("TICKER", "TRADING_DAY"),
    required=("PRICE_FACTOR", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"),
    columns=(
        _TICKER,
        _TRADING_DAY,
        (
            "PRICE_FACTOR",
            "FLOAT",
            "Factor on the day's prices: old shares per new share, over all splits executed since.",
        ),
        ("OPEN", "FLOAT", f"Price of the first trade in regular hours, {_ADJUSTED}."),
        ("HIGH", "FLOAT", f"Highest price in regular hours, {_ADJUSTED}."),
        ("LOW", "FLOAT", f"Lowest price in regular hours, {_ADJUSTED}."),
        ("CLOSE", "FLOAT", f"Price of the last trade in regular hours, {_ADJUSTED}."),
        ("VWAP", "FLOAT", f"Average price weighted by volume, {_ADJUSTED}."),
        ("VOLUME", "NUMBER(28,6)", "Shares traded, in the newest day's shares."),
    ),
)
_REPORT_TICKERS = Mart(
    name="report_tickers",
    primary_key=("TICKER",),
    required=("NAME",),
    columns=(
        _TICKER,
        ("NAME", "VARCHAR", "Name of the company or fund."),
        ("MARKET", "VARCHAR", "stocks (listed on an exchange) or otc."),
        ("EXCHANGE_NAME", "VARCHAR", "Name of the listing exchange."),
        ("TYPE_DESCRIPTION", "VARCHAR", "Type of the security in words."),
        ("LAST_TRADING_DAY", "DATE", "The last day with a trade of the ticker."),
        ("LAST_CLOSE", "FLOAT", f"Price of the last trade in regular hours, {_ADJUSTED}."),
        (
            "PREVIOUS_CLOSE",
            "FLOAT",
            f"Close of the last earlier session with a trade of the ticker, {_ADJUSTED}.",
        ),
        ("CHANGE_PERCENT", "FLOAT", "Change from PREVIOUS_CLOSE to LAST_CLOSE, percent."),
        (
            "AVERAGE_VOLUME_20",
            "FLOAT",
            "Shares per session, over the sessions with a trade among the market's last 20.",
        ),
        ("HIGH_252", "FLOAT", f"Highest price of the market's last 252 sessions, {_ADJUSTED}."),
        ("LOW_252", "FLOAT", f"Lowest price of the market's last 252 sessions, {_ADJUSTED}."),
        ("LAST_SPLIT_DAY", "DATE", "Execution day of the last split."),
        ("LAST_SPLIT_FROM", "FLOAT", "Number of old shares that became LAST_SPLIT_TO new ones."),
        ("LAST_SPLIT_TO", "FLOAT", "Number of new shares that replaced LAST_SPLIT_FROM old ones."),
    ),
)
_STREAM_VS_BATCH = Mart(
    name="stream_vs_batch",
    primary_key=("TRADING_DAY", "SYMBOL"),
    by_day=True,
    required=("VERDICT", "COMPARED_AT"),
    columns=(
        _TRADING_DAY,
        ("SYMBOL", "VARCHAR", "Symbol, case-sensitive."),
        ("VERDICT", "VARCHAR", "match, missing_in_stream, surplus_in_stream or drift."),
        ("STREAM_OPEN", "FLOAT", "First price in regular hours as streamed, dollars."),
        ("STREAM_HIGH", "FLOAT", "Highest price in regular hours as streamed, dollars."),
        ("STREAM_LOW", "FLOAT", "Lowest price in regular hours as streamed, dollars."),
        ("STREAM_CLOSE", "FLOAT", "Last price in regular hours as streamed, dollars."),
        ("STREAM_VOLUME", "NUMBER(28,6)", "Shares as streamed, of the whole day."),
        ("BATCH_OPEN", "FLOAT", "First price in the vendor's daily bar, dollars, unadjusted."),
        ("BATCH_HIGH", "FLOAT", "Highest price in the vendor's daily bar, dollars, unadjusted."),
        ("BATCH_LOW", "FLOAT", "Lowest price in the vendor's daily bar, dollars, unadjusted."),
        ("BATCH_CLOSE", "FLOAT", "Last price in the vendor's daily bar, dollars, unadjusted."),
        ("BATCH_VOLUME", "NUMBER(28,6)", "Shares in the vendor's daily bar."),
        (
            "VOLUME_DRIFT",
            "FLOAT",
            "(stream - batch) / batch of the volumes, a fraction; empty where one is missing.",
        ),
        (
            "PRICE_DRIFT",
            "FLOAT",
            "Largest difference of the four prices, a fraction of the vendor's; "
            "empty where one is missing.",
        ),
        (
            "DIFFERENT_MINUTES",
            "VARCHAR",
            "Minutes (New York) with fewer or more shares streamed than in the vendor's minute, "
            "such as 10:31-10:33, 15:59; empty if there are none or they were not compared.",
        ),
        ("COMPARED_AT", "TIMESTAMP_TZ", "When the two were compared (UTC)."),
    ),
)

MARTS: Mapping[str, Mart] = {
    mart.name: mart
    for mart in (
        _DIM_EXCHANGE,
        _DIM_TICKER,
        _DIM_STOCK_SPLIT,
        _FACT_DAILY_TRADING,
        _DAILY_PRICES_ADJUSTED,
        _REPORT_TICKERS,
        _STREAM_VS_BATCH,
    )
}
"""By name, each after the marts that it reads."""
