"""US stocks, live and complete, in one Dagster lineage graph."""
