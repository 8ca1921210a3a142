-- The dead letters of a selection, one row each however many parts, newest or oldest refusal first.
-- replayed_at is the newest published replay. Empty parameters select everything; `replayed` is
-- any, yes or no.
WITH published AS (
    SELECT r.letter_id AS letter_id, maxOrNull(r.replayed_at) AS replayed_at
    FROM market.dead_letter_replays AS r
    WHERE r.outcome = 'published'
    GROUP BY letter_id
)
SELECT
    d.letter_id AS letter_id,
    any(d.program) AS program,
    any(d.stage) AS stage,
    argMin(d.reason, d.part) AS reason,
    max(d.refused_at) AS refused_at,
    any(d.topic) AS topic,
    any(d.`partition`) AS `partition`,
    any(d.`offset`) AS `offset`,
    any(d.epoch) AS epoch,
    max(d.parts) AS parts,
    any(d.sha256) AS sha256,
    sum(length(d.raw)) AS bytes,
    any(p.replayed_at) AS replayed_at
FROM market.dead_letters AS d FINAL
LEFT JOIN published AS p ON p.letter_id = d.letter_id
WHERE (empty({ids:Array(String)}) OR d.letter_id IN {ids:Array(String)})
  AND ({program:String} = '' OR d.program = {program:String})
  AND ({stage:String} = '' OR d.stage = {stage:String})
  AND positionCaseInsensitiveUTF8(d.reason, {reason:String}) > 0
  AND d.refused_at >= {since:DateTime64(6, 'UTC')}
  AND d.refused_at < {until:DateTime64(6, 'UTC')}
  AND ({replayed:String} = 'any' OR ({replayed:String} = 'yes') = isNotNull(p.replayed_at))
GROUP BY letter_id
ORDER BY
    toUnixTimestamp64Micro(refused_at) * if({oldest_first:Bool}, 1, -1),
    letter_id
LIMIT {limit:UInt32}
