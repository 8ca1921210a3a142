-- How often the broker lost dead letters before a sink had loaded them, since a moment. Each process
-- counts from 0.
SELECT sum(losses)
FROM (
    SELECT max(counters['dead_letter_losses']) AS losses
    FROM market.stream_heartbeats
    WHERE program = 'sink' AND sent_at >= {since:DateTime64(3, 'UTC')}
    GROUP BY instance
)
