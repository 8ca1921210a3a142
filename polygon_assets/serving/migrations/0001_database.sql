-- The database and the record of what was applied to it. Every statement of every migration can be run again, because two programs may
-- migrate at once and because ClickHouse has no transaction around a file.
CREATE DATABASE IF NOT EXISTS market;

CREATE TABLE IF NOT EXISTS market.schema_migrations (
    name       String,
    sha256     String,
    applied_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(applied_at)
ORDER BY name;
