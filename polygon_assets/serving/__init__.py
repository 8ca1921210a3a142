"""ClickHouse: numbered migrations, the queries over the tables, and what applies them."""
