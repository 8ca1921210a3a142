-- Rows for the clients to copy: values and NULLs in every nullable column, quotes, fractions,
-- negative numbers.
INSERT INTO {table:Identifier}
SELECT
    concat('S''', toString(number % 50)),
    toDateTime64('2026-01-02 14:30:00.123', 3, 'UTC') + number,
    toDateTime64('2026-01-02 14:30:01.123', 3, 'UTC') + number,
    number / 7,
    number / 3,
    -number / 9,
    1e-9 * number,
    toDecimal64(number, 6) + toDecimal64('0.000001', 6),
    if(number % 2, number / 11, NULL),
    if(number % 3, toDecimal64(number, 6) / 8, NULL),
    if(number % 5, number / 13, NULL),
    NULL,
    number / 17,
    number % 2,
    toDateTime64('2026-01-02 14:30:00.654321', 6, 'UTC') + number,
    if(number % 2, 'websocket', 'rest')
FROM numbers({rows:UInt32})
