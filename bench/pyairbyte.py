"""A baseline in an environment of its own: PyAirbyte reads grouped_daily into its DuckDB cache.

The manifest is ours. `python bench/pyairbyte.py MANIFEST CONFIG FOLDER`, run by a Python that has
the package `airbyte`, prints the number of records.
"""

import json
import sys
from pathlib import Path


def main(manifest: str, config: str, folder: str) -> None:
    """Read once; the last line on stdout is the number of records."""
    import airbyte  # installed only in that other environment

    source = airbyte.get_source(
        "source-polygon",
        config=json.loads(Path(config).read_text()),
        source_manifest=Path(manifest),
        streams=["grouped_daily"],
    )
    cache = airbyte.new_local_cache("bench", cache_dir=folder)
    print(source.read(cache=cache, force_full_refresh=True).processed_records)


if __name__ == "__main__":
    main(*sys.argv[1:])
