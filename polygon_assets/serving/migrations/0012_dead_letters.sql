-- What the programs refused, copied from polygon_dead_letters (30 days there), to be looked at and replayed.
-- * letter_id is derived from place and content, so loading a letter twice changes nothing (FINAL): topic, partition and offset where it was
--   read from a topic, otherwise the connection and the moment; and the bytes. Equal events of one frame are therefore one letter.
-- * Bytes too long for one message fill several rows, part 1 to parts, with one letter_id; otherwise part and parts are 0.
-- * raw holds the bytes themselves, so that they can be read and searched; sha256 is that of all parts joined.
-- * A message of the topic that is no dead letter is kept too: program and stage are 'unknown', and its place is in the topic itself.
-- * No partitions: letters of more than 100 months in one insert would be refused, again and again.
CREATE TABLE IF NOT EXISTS market.dead_letters (
    letter_id   String,
    part        UInt32,
    parts       UInt32,
    program     LowCardinality(String),
    stage       LowCardinality(String),
    reason      String CODEC(ZSTD(1)),
    raw         String CODEC(ZSTD(3)),
    refused_at  DateTime64(6, 'UTC'),
    topic       LowCardinality(String),
    `partition` Nullable(Int32),
    `offset`    Nullable(Int64),
    epoch       Nullable(DateTime64(3, 'UTC')),
    sha256      String
) ENGINE = ReplacingMergeTree(refused_at)
ORDER BY (letter_id, part)
TTL toDateTime(refused_at) + INTERVAL 400 DAY;

-- Where the messages of polygon_dead_letters go as they are (`INSERT INTO ... FORMAT JSONEachRow`): the sink inserts here, and the official
-- Kafka Connect sink can (topic2TableMap). It stores nothing: the view below decodes base64, turns integers into times, which reads the same
-- in every ClickHouse version, and is the one place that computes letter_id.
CREATE TABLE IF NOT EXISTS market.dead_letters_ingest (
    program     String,
    stage       String,
    reason      String,
    raw         String,
    refused_at  Int64,
    topic       String,
    `partition` Nullable(Int32),
    `offset`    Nullable(Int64),
    epoch       Nullable(Int64),
    part        UInt32,
    parts       UInt32,
    sha256      String
) ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS market.dead_letters_ingest_mv TO market.dead_letters AS
WITH
    base64Decode(i.raw) AS bytes,
    if(i.sha256 = '', lower(hex(SHA256(bytes))), i.sha256) AS digest,
    concatWithSeparator(
        '\n',
        i.program,
        i.stage,
        i.topic,
        toString(ifNull(i.`partition`, -1)),
        toString(ifNull(i.`offset`, -1)),
        if(i.topic = '', concat(toString(ifNull(i.epoch, -1)), ' ', toString(i.refused_at)), ''),
        digest
    ) AS place_and_content
SELECT
    lower(hex(substring(SHA256(place_and_content), 1, 10))) AS letter_id,
    i.part AS part,
    i.parts AS parts,
    i.program AS program,
    i.stage AS stage,
    i.reason AS reason,
    bytes AS raw,
    fromUnixTimestamp64Micro(i.refused_at, 'UTC') AS refused_at,
    i.topic AS topic,
    i.`partition` AS `partition`,
    i.`offset` AS `offset`,
    fromUnixTimestamp64Milli(i.epoch, 'UTC') AS epoch,
    digest AS sha256
FROM market.dead_letters_ingest AS i;

-- Each attempt to replay a letter: outcome is published or failed (error says why); messages were written to topic.
CREATE TABLE IF NOT EXISTS market.dead_letter_replays (
    letter_id   String,
    replayed_at DateTime64(6, 'UTC'),
    replayed_by String,
    topic       LowCardinality(String),
    messages    UInt32,
    outcome     LowCardinality(String),
    error       String
) ENGINE = ReplacingMergeTree
ORDER BY (letter_id, replayed_at)
TTL toDateTime(replayed_at) + INTERVAL 400 DAY;
