-- What became of a gap: found, filled by REST, verified key by key, or left to a person.
-- state: open, filling, filled (to be verified again after the revision window), verified,
-- unfillable (note gives the reason) or waived (note gives the person's reason).
ALTER TABLE market.stream_gaps
    ADD COLUMN IF NOT EXISTS note String,
    ADD COLUMN IF NOT EXISTS rows_found UInt64,
    ADD COLUMN IF NOT EXISTS rows_added UInt64,
    ADD COLUMN IF NOT EXISTS rows_corrected UInt64,
    ADD COLUMN IF NOT EXISTS verify_after Nullable(DateTime64(3, 'UTC'));
