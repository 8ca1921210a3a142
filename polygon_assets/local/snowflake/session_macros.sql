-- Every session creates these functions, so that databases of an earlier version have them too.
-- A truncated or moved DATE is a DATE in Snowflake, but a TIMESTAMP in DuckDB.
CREATE OR REPLACE TEMP MACRO _date_trunc(part, moment DATE) AS date_trunc(part, moment)::DATE,
    (part, moment TIMESTAMP) AS date_trunc(part, moment),
    (part, moment TIMESTAMPTZ) AS date_trunc(part, moment),
    (part, moment VARCHAR) AS date_trunc(part, moment::TIMESTAMP);
CREATE OR REPLACE TEMP MACRO _moved(origin DATE, moved) AS moved::DATE,
    (origin TIMESTAMP, moved) AS moved,
    (origin TIMESTAMPTZ, moved) AS moved,
    (origin VARCHAR, moved) AS moved;

-- Without a scale, Snowflake infers seconds, milliseconds, microseconds or nanoseconds from the
-- size of the number.
CREATE OR REPLACE TEMP MACRO _epoch_microseconds(number, scale) AS CASE
    WHEN scale = 0 AND abs(number) >= 31536000000000000 THEN number // 1000
    WHEN scale = 0 AND abs(number) >= 31536000000000 THEN number
    WHEN scale = 0 AND abs(number) >= 31536000000 THEN number * 1000
    WHEN scale <= 6 THEN number * (10 ** (6 - scale))::BIGINT
    ELSE number // (10 ** (scale - 6))::BIGINT
END;
CREATE OR REPLACE TEMP MACRO _fs_to_timestamp(val, scale) AS CASE
    WHEN try_cast(val AS BIGINT) IS NOT NULL
    THEN make_timestamp(_epoch_microseconds(try_cast(val AS BIGINT), scale)::BIGINT)
    ELSE CAST(val AS TIMESTAMP)
END;

CREATE OR REPLACE TEMP MACRO _typeof(variant) AS CASE json_type(to_json(variant))
    WHEN 'UBIGINT' THEN 'INTEGER'
    WHEN 'BIGINT' THEN 'INTEGER'
    WHEN 'DOUBLE' THEN 'DECIMAL'
    WHEN 'NULL' THEN 'NULL_VALUE'
    ELSE json_type(to_json(variant))
END;
