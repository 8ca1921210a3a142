-- Each stream program since `since`: its newest state, and the percentiles of its lag, the messages
-- it had not read yet; NULL where it reads no topic.
SELECT
    h.program AS program,
    max(h.sent_at) AS newest,
    argMax((h.state, h.rate, h.lag), h.sent_at) AS last,
    last.1 AS state,
    last.2 AS rate,
    last.3 AS lag,
    quantileExact(0.5)(h.lag) AS lag_p50,
    quantileExact(0.99)(h.lag) AS lag_p99
FROM market.stream_heartbeats AS h FINAL
WHERE h.sent_at >= {since:DateTime64(3, 'UTC')}
GROUP BY program
ORDER BY indexOf(['producer', 'filter', 'sink', 'archiver'], program)
