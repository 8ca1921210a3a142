"""The page in a real browser: what a visitor sees is what ClickHouse holds."""
