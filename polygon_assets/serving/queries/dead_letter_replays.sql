-- Each attempt to replay a dead letter, oldest first.
SELECT
    r.letter_id AS letter_id,
    r.replayed_at AS replayed_at,
    r.replayed_by AS replayed_by,
    r.topic AS topic,
    r.messages AS messages,
    r.outcome AS outcome,
    r.error AS error
FROM market.dead_letter_replays AS r FINAL
WHERE r.letter_id IN {ids:Array(String)}
ORDER BY replayed_at, letter_id
