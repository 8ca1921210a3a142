"""The job that replays dead letters, for a person who has corrected what refused them.

Add how Dagster runs a replay here; reading, publishing and recording belong to `dead_letters`.
"""

import datetime as dt
from contextlib import closing

import dagster as dg
from pydantic import Field

from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import log_while_running
from polygon_assets.inspection.dead_letters import moment
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.serving.dead_letters import (
    LETTER_STAGES,
    PROGRAM_NAMES,
    Letter,
    Replay,
    Selection,
)
from polygon_assets.settings import Settings

SHOWN_FAILURES = 20


class LettersToReplay(dg.Config):
    """Run configuration of a replay: ids or filters, which a letter must all match."""

    letter_ids: list[str] = Field(
        default=[], description="Letters by their ids in `clickhouse/dead_letters`."
    )
    program: str = Field(default="", description="producer, filter or sink.")
    stage: str = Field(default="", description="frame, event, validate or insert.")
    reason: str = Field(default="", description="A part of the reason, in any case.")
    since: str = Field(
        default="",
        description="Refused at this time or later (ISO 8601; New York's time without a zone).",
    )
    until: str = Field(default="", description="Refused before this time, written as `since`.")
    everything: bool = Field(
        default=False, description="Every letter, where no id and no filter is given."
    )
    again: bool = Field(default=False, description="Also letters that were replayed before.")
    limit: int = Field(
        default=10_000, ge=1, le=100_000, description="At most so many, the oldest first."
    )


@dg.op(
    name="replay",
    description="Reads the bytes of dead letters again and publishes what is accepted now to "
    "`kafka/polygon_stream_aggregates` (refused by producer or filter) or "
    "`kafka/custom_filtered_stock_data_topic` (refused by the sink).",
)
def replay(
    context: dg.OpExecutionContext, config: LettersToReplay, environment: Environment
) -> None:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from polygon_assets.dead_letters.replay import ReplayError

    chosen, settings = selection(config), environment.settings()
    if missing := missing_settings(settings, "dead_letter_replay"):
        raise dg.Failure(not_set(missing), allow_retries=False)
    try:
        with log_while_running(context.log):
            letters, outcomes = _replay(context, settings, chosen, config)
    except (ClickHouseError, ReplayError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    _report(context, letters, outcomes)


def _replay(
    context: dg.OpExecutionContext, settings: Settings, chosen: Selection, config: LettersToReplay
) -> tuple[list[Letter], list[Replay]]:
    from polygon_assets.dead_letters.replay import Replayer

    with closing(Replayer(settings, f"dagster run {context.run_id}")) as replayer:
        letters = replayer.select(chosen, config.limit, again=config.again)
        return letters, list(replayer.replay(letters, context.log.info))


def _report(context: dg.OpExecutionContext, letters: list[Letter], outcomes: list[Replay]) -> None:
    """Log what became of the letters. Raises Failure if some are still refused."""
    from polygon_assets.dead_letters.replay import summary

    context.log.info(summary(outcomes) if letters else "no letter to replay")
    failures = [outcome for outcome in outcomes if outcome.outcome == "failed"]
    for outcome in failures[:SHOWN_FAILURES]:
        context.log.warning("%s: %s", outcome.letter_id, outcome.error)
    if failures:
        raise dg.Failure(
            f"{summary(outcomes)}; the first: {failures[0].letter_id}: {failures[0].error}. "
            "`market.dead_letter_replays` has every reason",
            allow_retries=False,
        )


def selection(config: LettersToReplay) -> Selection:
    """The letters that a configuration names. Raises Failure for none, and for a wrong value."""
    _refuse_unknown("program", config.program, PROGRAM_NAMES)
    _refuse_unknown("stage", config.stage, LETTER_STAGES)
    chosen = Selection(
        tuple(config.letter_ids),
        config.program,
        config.stage,
        config.reason,
        _moment("since", config.since),
        _moment("until", config.until),
    )
    if not chosen.is_narrowed and not config.everything:
        raise dg.Failure(
            "the configuration selects no letter: name letter_ids or a filter, or set "
            "everything: true",
            allow_retries=False,
        )
    return chosen


def _refuse_unknown(field: str, value: str, known: tuple[str, ...]) -> None:
    if value and value not in known:
        raise dg.Failure(f"{field} {value!r} is none of {', '.join(known)}", allow_retries=False)


def _moment(field: str, text: str) -> dt.datetime | None:
    try:
        return moment(text) if text else None
    except ValueError as error:
        raise dg.Failure(f"{field}: {error}", allow_retries=False) from error


@dg.job(
    description="Replays dead letters after what refused them was corrected. The configuration "
    "names the letters by id or filter. Launching it twice changes nothing; the run fails if a "
    "letter is still refused.",
)
def replay_dead_letters() -> None:
    replay()
