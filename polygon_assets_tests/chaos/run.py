"""One run: start the system, strike it with faults for some minutes, then prove its tables.

Add a step of the run here; its options belong to `__main__`.
"""

import datetime as dt
import random
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.inspection.streams import heartbeats
from polygon_assets.local.exchange.market.market import Market
from polygon_assets_tests.chaos import report, verdict
from polygon_assets_tests.chaos.faults import Fault
from polygon_assets_tests.chaos.plan import Struck, next_round
from polygon_assets_tests.chaos.recovery import Recovery
from polygon_assets_tests.chaos.system import System
from polygon_assets_tests.chaos.usage import growth, usage
from polygon_assets_tests.processes.harness import eventually

LONGEST_PAUSE = 5.0
CONFIRM_SECONDS = 120.0
FILL_SECONDS = 300.0


@dataclass
class Run:
    """The system, the choices, and what has been seen so far."""

    system: System
    market: Market
    faults: Sequence[Fault]
    draw: random.Random
    show: report.Show
    struck: list[Struck] = field(default_factory=list)
    rounds: list[report.Round] = field(default_factory=list)
    symbols: Sequence[str] = ()
    """The subscribed symbols: every active one."""

    def strike_and_prove(self, minutes: float) -> None:
        """The whole run. Raises AssertionError when something is down, lost or wrong at its end."""
        since = self.prepare()
        before = usage(self.system)
        self.strike(minutes)
        proof = self.prove(since)
        after = usage(self.system)
        self.show.proof(self.rounds, proof)
        self.show.usage(before, after)
        self.system.stop(signal.SIGINT)
        orphans = [f"still runs: {process}" for process in self.system.orphans()]
        failures = [*proof.failures(), *growth(before, after), *orphans]
        assert not failures, "\n".join(failures)
        self.show.success()

    def prepare(self) -> dt.datetime:
        """Start the system with every symbol subscribed; the moment from which all must be kept."""
        self.system.start()
        recovery = Recovery(self.system)
        recovery.wait(dt.datetime.now(dt.UTC))
        missing = {fault.role for fault in self.faults} - {"", *self.system.roles()}
        assert not missing, f"faults would strike nothing: no process is {sorted(missing)}"
        self.symbols = sorted(PolygonRest(self.system.settings()).active_tickers())
        csv = self.system.folder / "subscriptions.csv"
        csv.write_text("channel\n" + "".join(f"A.{symbol}\n" for symbol in self.symbols))
        self.system.command("subscriptions", "push", str(csv))
        eventually(self._streams_everything, "every channel is confirmed", CONFIRM_SECONDS)
        return dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=2)

    def strike(self, minutes: float) -> None:
        """Rounds of faults, each until all is well again, for some minutes."""
        end = time.monotonic() + 60 * minutes
        recovery = Recovery(self.system)
        while time.monotonic() < end:
            self._round(recovery)
            time.sleep(self.draw.uniform(0, LONGEST_PAUSE))

    def _round(self, recovery: Recovery) -> None:
        now = time.monotonic()
        kinds = next_round([fault.kind for fault in self.faults], self.struck, now, self.draw)
        if not kinds:
            return
        self.struck += [Struck(kind, now) for kind in kinds]
        chosen = [fault for fault in self.faults if fault.kind in kinds]
        # Each fault gets its own numbers, so that threads cannot change their order.
        draws = [random.Random(self.draw.random()) for _ in chosen]
        with ThreadPoolExecutor(len(chosen)) as threads:
            details = list(
                threads.map(lambda fault, draw: fault.strike(self.system, draw), chosen, draws)
            )
        over = dt.datetime.now(dt.UTC)
        names = [
            f"{fault.kind.name} {detail}".strip()
            for fault, detail in zip(chosen, details, strict=True)
        ]
        try:
            recovery.wait(over)
        finally:
            self.rounds.append(report.Round(names, seconds_since(over)))
            self.show.round(self.rounds[-1])

    def prove(self, since: dt.datetime) -> report.Proof:
        """Compare everything since `since` with the truth, once all gaps are filled."""
        settings = self.system.settings()
        verdict.wait_until_filled(settings, since, FILL_SECONDS)
        interval = verdict.Interval(since, verdict.newest_final_moment())
        entries = verdict.verify_early(settings, since)
        unrecorded = verdict.unrecorded(settings, entries, interval)
        comparison = verdict.compare(settings, self.market, self.symbols, interval)
        return report.Proof(interval, entries, comparison, unrecorded)

    def _streams_everything(self) -> bool:
        beat = heartbeats(self.system.settings()).get("producer")
        return beat is not None and beat.desired == beat.confirmed == len(self.symbols)


def seconds_since(moment: dt.datetime) -> float:
    return (dt.datetime.now(dt.UTC) - moment).total_seconds()
