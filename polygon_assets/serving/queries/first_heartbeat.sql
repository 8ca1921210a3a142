-- When the first stored heartbeat of a program was sent; NULL without one.
SELECT minOrNull(sent_at)
FROM market.stream_heartbeats
WHERE program = {program:String}
