"""Write deploy/flink/filter.sql and deploy/ksqldb/filter.sql: `python -m scripts.engine_sql`.

Run it after a change of the rules; a test compares the files with what it would write.
"""

from pathlib import Path

from polygon_assets.provisioning.engine_filter import flink, ksqldb

DEPLOY = Path(__file__).parents[1] / "deploy"


def files() -> dict[Path, str]:
    """By path, the statements that keep every symbol."""
    return {
        DEPLOY / "flink" / "filter.sql": flink.sql(flink.Job()),
        DEPLOY / "ksqldb" / "filter.sql": ksqldb.sql(),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
