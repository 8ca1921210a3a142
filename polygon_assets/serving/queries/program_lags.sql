-- Each stream program since `since`: its newest state, and the percentiles of its lag, the messages
-- it had not read yet; NULL where it reads no topic. Copies that work side by side count together,
-- but for the percentiles, which are those of a copy.
WITH
    instances AS (
        SELECT
            h.program AS program,
            max(h.sent_at) AS newest,
            argMax((h.state, h.rate, h.lag), h.sent_at) AS last,
            max(newest) OVER (PARTITION BY program) AS program_newest
        FROM market.stream_heartbeats AS h FINAL
        WHERE h.sent_at >= {since:DateTime64(3, 'UTC')}
        GROUP BY h.program, h.instance
    ),
    lags AS (
        SELECT
            h.program AS program,
            quantileExact(0.5)(h.lag) AS lag_p50,
            quantileExact(0.99)(h.lag) AS lag_p99
        FROM market.stream_heartbeats AS h FINAL
        WHERE h.sent_at >= {since:DateTime64(3, 'UTC')}
        GROUP BY h.program
    )
SELECT
    i.program AS program,
    max(i.newest) AS newest,
    argMax(i.last.1, i.newest) AS state,
    sumIf(i.last.2, works) AS rate,
    sumIf(i.last.3, works) AS lag,
    any(lags.lag_p50) AS lag_p50,
    any(lags.lag_p99) AS lag_p99
FROM (
    SELECT
        *,
        -- Kept every ten seconds; of producers the newest one works, also after a change of leader.
        newest = program_newest OR (
            program != 'producer' AND last.1 != 'stopped'
            AND newest > program_newest - INTERVAL 25 SECOND
        ) AS works
    FROM instances
) AS i
INNER JOIN lags ON lags.program = i.program
GROUP BY program
ORDER BY indexOf(['producer', 'filter', 'sink', 'archiver'], program)
