"""The page: its readings, tables and figures, without a browser."""
