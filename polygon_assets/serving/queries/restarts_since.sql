-- Processes of each program that were started since a moment and replaced another one of that day.
SELECT program, uniqExact(instance)
FROM market.stream_heartbeats
WHERE sent_at >= {since:DateTime64(3)} AND started_at >= {since:DateTime64(3)} AND restarts > 0
GROUP BY program
