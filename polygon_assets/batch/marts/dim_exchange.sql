-- Every exchange and reporting facility, one row each: Airbyte's overwriting loads keep records
-- that a page repeats.
SELECT
    e.id AS exchange_id,
    e.mic,
    e.operating_mic,
    e.name,
    e.acronym,
    e.type,
    e.participant_id,
    e.locale,
    e.url
FROM RAW.EXCHANGES_LAST_GOOD AS e
QUALIFY ROW_NUMBER() OVER (PARTITION BY e.id ORDER BY e._airbyte_extracted_at DESC) = 1
