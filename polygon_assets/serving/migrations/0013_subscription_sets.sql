-- The accepted sets of channels by version, so that a heartbeat's version says what was subscribed.
CREATE TABLE IF NOT EXISTS market.subscription_sets (
    version     String,
    accepted_at DateTime64(3, 'UTC'),
    channels    Array(String)
) ENGINE = ReplacingMergeTree
ORDER BY version;

-- As 0010, and a second is quiet only where the symbol was subscribed: by the set that the producer
-- had then, or by the channels that a verified gap was compared for. An unknown set proves nothing.
CREATE OR REPLACE VIEW market.second_status AS
WITH
    subscribed AS (
        SELECT version
        FROM market.subscription_sets
        WHERE hasAny(channels, ['A.*', concat('A.', {symbol:String})])
    ),
    beats AS (
        SELECT
            1 AS joined,
            complete_until,
            sent_at,
            instance,
            epoch,
            ifNull(
                desired > 0 AND confirmed >= desired
                AND dateDiff('millisecond', complete_until, sent_at) <= 2500,
                false
            ) AS is_complete,
            subscriptions_version IN (SELECT version FROM subscribed) AS is_subscribed
        FROM market.stream_heartbeats FINAL
        WHERE program = 'producer'
          AND sent_at >= {from_ts:DateTime64(3, 'UTC')} - INTERVAL 2 MINUTE
          AND sent_at < {to_ts:DateTime64(3, 'UTC')} + INTERVAL 2 MINUTE
    ),
    covered AS (
        SELECT
            joined,
            is_subscribed,
            assumeNotNull(complete_until) AS since,
            assumeNotNull(next_until) AS until
        FROM (
            SELECT
                joined,
                complete_until,
                is_complete,
                is_subscribed AND leadInFrame(is_subscribed) OVER following AS is_subscribed,
                leadInFrame(complete_until) OVER following AS next_until,
                leadInFrame(is_complete) OVER following
                AND leadInFrame(instance) OVER following = instance
                AND ifNull(leadInFrame(epoch) OVER following = epoch, false)
                AND dateDiff('millisecond', sent_at, leadInFrame(sent_at) OVER following) <= 30000
                AS is_continued
            FROM beats
            WINDOW following AS (
                ORDER BY sent_at, instance ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING
            )
        )
        WHERE is_complete AND is_continued
    ),
    gaps AS (
        SELECT since, until, state
        FROM market.stream_gaps FINAL
        WHERE until > {from_ts:DateTime64(3, 'UTC')} AND since < {to_ts:DateTime64(3, 'UTC')}
          AND (
              (empty(channels) AND state != 'verified')
              OR hasAny(channels, ['A.*', concat('A.', {symbol:String})])
          )
    ),
    seconds AS (
        SELECT
            1 AS joined,
            {from_ts:DateTime64(3, 'UTC')} + toIntervalSecond(number) AS second,
            second + INTERVAL 1 SECOND AS ends
        FROM numbers(
            toUInt64(
                dateDiff('second', {from_ts:DateTime64(3, 'UTC')}, {to_ts:DateTime64(3, 'UTC')})
            )
        )
    ),
    traded AS (
        SELECT DISTINCT start_timestamp
        FROM market.stock_aggregates
        WHERE symbol = {symbol:String}
          AND start_timestamp >= {from_ts:DateTime64(3, 'UTC')}
          AND start_timestamp < {to_ts:DateTime64(3, 'UTC')}
    )
SELECT
    {symbol:String} AS symbol,
    s.second AS start_timestamp,
    multiIf(
        s.second IN (SELECT start_timestamp FROM traded), 'traded',
        arrayExists(
            gap -> gap.1 <= s.second AND s.second < gap.2,
            (SELECT groupArrayIf((since, until), state != 'verified') FROM gaps)
        ), 'unknown',
        arrayExists(
            gap -> gap.1 <= s.second AND s.second < gap.2,
            (SELECT groupArrayIf((since, until), state = 'verified') FROM gaps)
        ), 'quiet',
        first.is_subscribed AND last.is_subscribed
        AND first.since <= s.second AND s.second < first.until
        AND last.since <= s.ends AND s.ends <= last.until
        AND s.ends + INTERVAL 19 SECOND <= (SELECT max(until) FROM covered), 'quiet',
        'unknown'
    ) AS status
FROM seconds AS s
ASOF LEFT JOIN covered AS first ON s.joined = first.joined AND s.second >= first.since
ASOF LEFT JOIN covered AS last ON s.joined = last.joined AND s.ends >= last.since
ORDER BY start_timestamp;
