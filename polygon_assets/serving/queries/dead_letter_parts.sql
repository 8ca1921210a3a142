-- The bytes of dead letters, part by part in their order; `raw` is read as bytes.
SELECT
    d.letter_id AS letter_id,
    d.part AS part,
    d.parts AS parts,
    d.sha256 AS sha256,
    d.raw AS raw
FROM market.dead_letters AS d FINAL
WHERE d.letter_id IN {ids:Array(String)}
ORDER BY letter_id, part
