"""The view of trust: what is complete, what is missing, how late rows come, and what was refused.

Add a panel about trust here; what it shows belongs to `trust`, its figures to `timeline`, its
tables to `trust_tables`.
"""

import datetime as dt
from html import escape
from typing import Any

import panel as pn

from polygon_assets.gap_filling.coverage import Interval
from polygon_assets.market_clock import calendar_of
from polygon_assets.page.candles import Columns
from polygon_assets.page.channel_coverage import channel_timeline, silent_line
from polygon_assets.page.frame import (
    CURE,
    Place,
    age_line,
    every_second,
    framed,
    html,
    is_dark,
    silence_line,
    when_new,
)
from polygon_assets.page.sources import Sources
from polygon_assets.page.timeline import CoverageFigure, DelaysFigure, RatesFigure
from polygon_assets.page.trust import (
    BARS,
    days,
    delays,
    rates,
    timeline,
)
from polygon_assets.page.trust_tables import (
    alerts_html,
    days_html,
    gaps_html,
    lags_html,
    legend_html,
    refusals_html,
)
from polygon_assets.serving.gap_ledger import SETTLED


def trust_view(sources: Sources) -> Any:
    """The page of one visitor."""
    view = TrustView(sources)
    return framed(Place("Trust", "trust"), view.panels(), sources.settings.dagster_url)


class TrustView:
    """One visitor's panels; `update` brings each up to date."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._calendar = calendar_of(sources.settings)
        self._coverage, self._delays = (
            CoverageFigure(dark=is_dark()),
            DelaysFigure(dark=is_dark()),
        )
        self._rates = RatesFigure(dark=is_dark())
        self._coverage_age, self._delays_age, self._rates_age = html(), html(), html()
        self._channels = html()
        self._channel_bars: Columns = {name: [] for name in BARS}
        self._silence = html()
        self._days, self._days_age = html(), html()
        self._alerts, self._gaps, self._refusals, self._lags = html(), html(), html(), html()
        every_second(self.update)
        # Up to a day of minutes: drawn when they are new, not each second.
        when_new(lambda: sources.rows("delays").at, self._draw_delays)
        when_new(lambda: sources.rows("rates").at, self._draw_rates)
        when_new(self._what_days_depend_on, self._draw_days)
        when_new(self._what_channels_depend_on, self._draw_channels)

    def panels(self) -> list[Any]:
        return [
            self._alerts,
            self._silence,
            "## Today's coverage",
            pn.pane.Bokeh(self._coverage.figure, sizing_mode="stretch_width"),
            self._channels,
            self._coverage_age,
            pn.FlexBox(
                _panel("## Gaps", self._gaps),
                _panel("## Days", self._days, self._days_age),
                _panel(
                    "## From the end of a second to its receipt",
                    pn.pane.Bokeh(self._delays.figure, sizing_mode="stretch_width"),
                    self._delays_age,
                ),
                _panel(
                    "## Rows per second, today and the day before",
                    pn.pane.Bokeh(self._rates.figure, sizing_mode="stretch_width"),
                    self._rates_age,
                ),
                _panel("## Refused within a day", self._refusals),
                _panel("## Messages not read yet, now and within a day", self._lags),
            ),
        ]

    def update(self) -> None:
        now = dt.datetime.now(dt.UTC)
        prices, market_now = self._sources.prices().value, self._market_now()
        is_open = self._calendar.is_open(market_now)
        self._silence.object = silence_line(prices.newest, market_now) if prices and is_open else ""
        self._update_coverage(now, market_now)
        self._update_rows(now)

    def _update_coverage(self, now: dt.datetime, market_now: dt.datetime) -> None:
        reading, ledger = self._sources.coverage(), self._sources.rows("gaps").value
        whole = self._session()
        if whole and ledger is not None:
            covered = reading.value.whole if reading.value else ()
            bars = timeline(covered, ledger, whole, market_now)
            self._coverage.draw(bars, self._channel_bars)
        self._coverage_age.object = f"{legend_html()}<br>{age_line(reading, now, CURE)}"
        activity = self._sources.activity()
        line = f"{escape(silent_line(activity.value))} · " if activity.value and whole else ""
        self._channels.object = line + age_line(activity, now, CURE)

    def _what_channels_depend_on(self) -> object:
        ledger = self._sources.rows("gaps").value
        states = [(gap["gap_id"], gap["state"], gap["until"]) for gap in ledger or ()]
        known = self._sources.coverage().value is not None
        return self._sources.activity().at, states, known, self._session()

    def _draw_channels(self) -> None:
        activity, coverage = self._sources.activity(), self._sources.coverage().value
        ledger, whole = self._sources.rows("gaps").value, self._session()
        if activity.value is None or coverage is None or ledger is None or whole is None:
            return
        self._channel_bars = channel_timeline(activity.value, coverage, ledger, whole)

    def _session(self) -> Interval | None:
        session = self._calendar.session_at(self._market_now())
        return Interval(session.extended_open, session.extended_close) if session else None

    def _market_now(self) -> dt.datetime:
        prices = self._sources.prices().value
        return prices.now if prices else dt.datetime.now(dt.UTC)

    def _what_days_depend_on(self) -> object:
        """The bars, the comparisons, what the ledger has open, and the minute."""
        rows, minute = self._sources.rows, self._market_now().replace(second=0, microsecond=0)
        gaps = rows("gaps").value
        unsettled = [gap["gap_id"] for gap in gaps or () if gap["state"] not in SETTLED]
        answers = rows("filled days").at, self._sources.compared_days().at, gaps is None
        return answers, unsettled, minute

    def _draw_days(self) -> None:
        filled, compared = self._sources.rows("filled days").value, self._sources.compared_days()
        gaps, now = self._sources.rows("gaps").value, self._market_now()
        # Without the ledger nobody knows which days are open.
        if gaps is None or filled is None:
            return
        self._days.object = days_html(days(filled, compared.value or [], gaps, self._calendar, now))

    def _draw_delays(self) -> None:
        self._delays.draw(delays(self._sources.rows("delays").value or []))

    def _draw_rates(self) -> None:
        minutes = self._sources.rows("rates").value or []
        self._rates.draw(rates(minutes, today=True), rates(minutes, today=False))

    def _update_rows(self, now: dt.datetime) -> None:
        """The panels that show rows as they are, and the ages of the others."""
        rows, refused = self._sources.rows, self._sources.rows("refusals")
        compared = self._sources.compared_days()
        self._days_age.object = age_line(rows("filled days"), now, CURE) + (
            f"<br>{age_line(compared, now, CURE)}" if compared.problem else ""
        )
        alerts = rows("alerts")
        self._alerts.object = f"{alerts_html(alerts.value)} {age_line(alerts, now, CURE)}"
        self._delays_age.object = age_line(rows("delays"), now, CURE)
        self._rates_age.object = age_line(rows("rates"), now, CURE)
        ledger = rows("gaps").value
        gaps = "" if ledger is None else gaps_html(ledger, self._sources.settings.dagster_url)
        self._gaps.object = gaps + age_line(rows("gaps"), now, CURE)
        refusals = "" if refused.value is None else refusals_html(refused.value)
        self._refusals.object = refusals + age_line(refused, now, CURE)
        lags = "" if rows("lags").value is None else lags_html(rows("lags").value or [])
        self._lags.object = lags + age_line(rows("lags"), now, CURE)


def _panel(*content: Any) -> Any:
    return pn.Column(*content, min_width=320, styles={"flex": "1 1 480px"})
