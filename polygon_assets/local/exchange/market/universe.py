"""The listed companies: symbols, names, types, price levels and intensities, all from one seed.

Add a constant property of tickers here; their prices on a day belong to `day`, their splits to
`splits`.
"""

import csv
import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from polygon_assets.local.exchange.market.noise import Floats, Ints, bits, fraction, hashed

SECURITY_TYPES = {
    "CS": "Common Stock",
    "PFD": "Preferred Stock",
    "WARRANT": "Warrant",
    "ADRC": "American Depository Receipt Common",
    "ETF": "Exchange Traded Fund",
    "OS": "Ordinary Shares",
}
# Cumulative percentages of the types; symbols of warrants and preferreds have a suffix.
_TYPE_SHARES = (("CS", 58), ("ETF", 82), ("ADRC", 88), ("PFD", 93), ("WARRANT", 97), ("OS", 100))
_EXCHANGES = ("XNAS", "XNYS", "ARCX", "XASE", "BATS")
_WORDS_1 = (
    *("Acorn", "Amber", "Apex", "Blue", "Cedar", "Clear", "Crest", "Delta", "Ember", "First"),
    *("Granite", "Harbor", "Iron", "Maple", "Nova"),
)
_WORDS_2 = (
    *("Bancorp", "Biosciences", "Capital", "Dynamics", "Energy", "Foods", "Health", "Holdings"),
    *("Labs", "Logistics", "Materials", "Media"),
)
_WORDS_3 = ("Corp", "Inc.", "Group", "Ltd.", "Trust", "Company", "Partners")
_ALWAYS_LISTED = dt.date(2003, 1, 2).toordinal()
_NEVER_DELISTED = dt.date(2100, 1, 1).toordinal()
_LISTINGS_FROM = dt.date(2016, 1, 4).toordinal()
_LISTINGS_DAYS = 5_000
_HIGHEST_INTENSITY = 12.0


@dataclass(frozen=True, eq=False)
class Universe:
    """Parallel arrays, one element per ticker, the most active first.

    `price_cents` is the base level in US cents; `intensity` is how often the ticker trades (see
    day.py; below 0.1, about the probability that an average regular second has a trade);
    `shares_per_bar` is the mean volume of such a second; `listed`/`delisted` are ordinals of dates.
    """

    seed: int
    symbols: list[str]
    names: list[str]
    types: list[str]
    exchanges: list[str]
    price_cents: Floats
    intensity: Floats
    shares_per_bar: Floats
    volatility: Floats
    otc: NDArray[np.bool_]
    listed: Ints
    delisted: Ints

    def __len__(self) -> int:
        return len(self.symbols)

    @cached_property
    def index(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    @cached_property
    def symbol_array(self) -> NDArray[np.object_]:
        """The symbols, to be taken by tickers' numbers."""
        return np.array(self.symbols, dtype=object)

    @cached_property
    def keys(self) -> Ints:
        """The tickers' numbers, from which their hashes start."""
        return np.arange(len(self.symbols), dtype=np.int64)

    def trading(self, day: int) -> NDArray[np.bool_]:
        """Per ticker: whether it is listed on the day with this ordinal."""
        return (self.listed <= day) & (day < self.delisted)


def build_universe(seed: int, tickers: int) -> Universe:
    """`tickers` companies; the first are those of well_known.csv, at synthetic price levels."""
    known = _well_known()[:tickers]
    keys = hashed(seed, 1, np.arange(tickers))
    types = [row["type"] for row in known] + [
        _type_of(int(share)) for share in bits(keys, 0, 16)[len(known) :] * 100 >> 16
    ]
    symbols = _symbols([row["ticker"] for row in known], types, seed)
    otc = (fraction(keys, 16, 8) < 0.04) & (np.arange(tickers) >= len(known))
    listed, delisted = _listing_dates(seed, tickers, len(known))
    return Universe(
        seed=seed,
        symbols=symbols,
        names=[row["name"] for row in known]
        + [_name(int(key), types[number]) for number, key in _rest(keys, len(known))],
        types=types,
        exchanges=[row["exchange"] for row in known]
        + [_EXCHANGES[int(key >> np.uint64(24)) % 5] for _, key in _rest(keys, len(known))],
        price_cents=np.concatenate(
            [[100 * float(row["price"]) for row in known], _price_levels(keys[len(known) :])]
        ),
        intensity=_intensity(tickers),
        shares_per_bar=np.concatenate(
            [
                [float(row["shares_per_second"]) for row in known],
                40 + 260 * fraction(keys[len(known) :], 32, 8),
            ]
        ),
        volatility=0.5 + fraction(keys, 40, 8),
        otc=otc,
        listed=listed,
        delisted=delisted,
    )


def _intensity(tickers: int) -> Floats:
    """How often each ticker trades, relative to the others; it falls with rank ** 1.4.

    The constants are fitted so that 10,000 tickers make 1,000 to 2,000 bars per second in regular
    hours, as the vendor reports, and that a small market still has busy tickers.
    """
    ranks = np.arange(1, tickers + 1, dtype=np.float64)
    intensity: Floats = np.minimum(_HIGHEST_INTENSITY, (max(60.0, 0.07 * tickers) / ranks) ** 1.4)
    return intensity


def _price_levels(keys: NDArray[np.uint64]) -> Floats:
    """Price levels, log-uniform from $2 to $400, because most US stocks are cheap."""
    levels: Floats = np.rint(200.0 * np.exp(fraction(keys, 44, 16) * np.log(200.0)))
    return levels


def _listing_dates(seed: int, tickers: int, known: int) -> tuple[Ints, Ints]:
    """Listing and delisting days: well-known names always stay listed.

    Of the rest, 15 % are listed between 2016 and 2029, and 6 % are delisted.
    """
    keys = hashed(seed, 2, np.arange(tickers))
    day = _LISTINGS_FROM + bits(keys, 0, 20) % _LISTINGS_DAYS
    other = np.arange(tickers) >= known
    listed = np.where(other & (fraction(keys, 20, 10) < 0.15), day, _ALWAYS_LISTED)
    delisted = np.where(other & (fraction(keys, 30, 10) >= 0.94), day, _NEVER_DELISTED)
    return listed, delisted


def _symbols(known: list[str], types: list[str], seed: int) -> list[str]:
    """Distinct symbols: the known ones, then 1-5 random letters, with `.WS` or `pA` by type."""
    symbols, used = list(known), set(known)
    for number in range(len(known), len(types)):
        draw = 0
        while (symbol := _symbol(seed, number, draw, types[number])) in used:
            draw += 1
        used.add(symbol)
        symbols.append(symbol)
    return symbols


_MASK = (1 << 64) - 1


def _symbol(seed: int, number: int, draw: int, security_type: str) -> str:
    key = (seed * 1_000_003 + number * 7_919 + draw * 104_729 + 12_345) * 0x9E3779B97F4A7C15 & _MASK
    key = (key ^ (key >> 29)) * 0xBF58476D1CE4E5B9 & _MASK
    key ^= key >> 32
    length = (3, 4, 4, 4, 4, 4, 5, 4, 3, 2, 4, 4, 4, 3, 4, 1)[key & 15] if draw < 8 else 5
    letters = "".join(chr(65 + (key >> (8 + 5 * place)) % 26) for place in range(length))
    return letters[:4] + {"WARRANT": ".WS", "PFD": "p" + "ABCDE"[number % 5]}.get(
        security_type, letters[4:]
    )


def _name(key: int, security_type: str) -> str:
    first, second, third = (
        words[(key >> shift) % len(words)]
        for words, shift in ((_WORDS_1, 3), (_WORDS_2, 13), (_WORDS_3, 23))
    )
    return f"{first} {second} {third} {SECURITY_TYPES[security_type]}"


def _type_of(percent: int) -> str:
    return next(code for code, upper in _TYPE_SHARES if percent < upper)


def _rest(keys: NDArray[np.uint64], known: int) -> list[tuple[int, np.uint64]]:
    return [(number, keys[number]) for number in range(known, len(keys))]


def _well_known() -> list[dict[str, str]]:
    text = (
        resources.files("polygon_assets.local.exchange.market")
        .joinpath("well_known.csv")
        .read_text()
    )
    return list(csv.DictReader(text.splitlines()))
