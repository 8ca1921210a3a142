-- The oldest and the newest second that the producer had streamed at `before` (wall time) by its
-- stored heartbeats, and the newest second of the table, in Unix milliseconds; NULL without one.
WITH streamed AS (
    SELECT
        toUnixTimestamp64Milli(minOrNull(newest_event)) AS oldest,
        toUnixTimestamp64Milli(maxOrNull(newest_event)) AS newest
    FROM market.stream_heartbeats
    WHERE program = 'producer' AND sent_at < {before:DateTime64(6, 'UTC')}
)
SELECT
    oldest,
    newest,
    (SELECT toUnixTimestamp64Milli(maxOrNull(start_timestamp)) FROM market.stock_aggregates)
FROM streamed
