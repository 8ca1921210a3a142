-- Every exchange and reporting facility of the vendor, one row each.
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
FROM RAW.EXCHANGES AS e
