-- What the trading day `day`, which began at `since`, has used so far: events that producers read,
-- rows stored, earlier versions included, and bytes on disk; and the bytes of all days.
SELECT
    (
        SELECT sum(read)
        FROM (
            -- A producer that started before the day has counted earlier events too.
            SELECT
                max(h.counters['read'])
                - if(min(h.started_at) < {since:DateTime64(3, 'UTC')}, min(h.counters['read']), 0)
                    AS read
            FROM market.stream_heartbeats AS h FINAL
            WHERE h.program = 'producer' AND h.sent_at >= {since:DateTime64(3, 'UTC')}
            GROUP BY h.instance
        )
    ) AS events,
    (
        SELECT count()
        FROM market.stock_aggregates
        WHERE toDate(start_timestamp, 'America/New_York') = {day:Date}
    ) AS rows,
    (
        SELECT sum(bytes_on_disk)
        FROM system.parts
        WHERE database = 'market' AND active AND partition = toString({day:Date})
    ) AS day_bytes,
    (
        SELECT sum(bytes_on_disk) FROM system.parts WHERE database = 'market' AND active
    ) AS all_bytes
