-- The dead letters of a selection, counted by program, stage and reason, most frequent first; of
-- each reason the newest letter as a sample. Quoted text and numbers of a reason are left out,
-- because each letter has its own. The parameters are those of dead_letters.sql.
WITH published AS (
    SELECT r.letter_id
    FROM market.dead_letter_replays AS r
    WHERE r.outcome = 'published'
)
SELECT
    d.program AS program,
    d.stage AS stage,
    replaceRegexpAll(
        replaceRegexpAll(d.reason, '\'[^\']*\'|"[^"]*"', '…'), '-?\\b\\d[\\d.,]*\\b', 'N'
    ) AS kind,
    uniqExact(d.letter_id) AS letters,
    uniqExactIf(d.letter_id, d.letter_id IN (published)) AS replayed,
    max(d.refused_at) AS newest,
    argMax(d.letter_id, (d.refused_at, d.letter_id)) AS sample_id,
    argMax(d.reason, (d.refused_at, d.letter_id)) AS sample
FROM market.dead_letters AS d FINAL
WHERE (empty({ids:Array(String)}) OR d.letter_id IN {ids:Array(String)})
  AND ({program:String} = '' OR d.program = {program:String})
  AND ({stage:String} = '' OR d.stage = {stage:String})
  AND positionCaseInsensitiveUTF8(d.reason, {reason:String}) > 0
  AND d.refused_at >= {since:DateTime64(6, 'UTC')}
  AND d.refused_at < {until:DateTime64(6, 'UTC')}
  AND (
      {replayed:String} = 'any'
      OR ({replayed:String} = 'yes') = (d.letter_id IN (published))
  )
GROUP BY program, stage, kind
ORDER BY letters DESC, newest DESC, program, stage, kind
LIMIT {limit:UInt32}
