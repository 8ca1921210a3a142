"""The Content-Type that ClickHouse's HTTP interface gives to each output format.

Add a format's type here; reading and writing formats belongs to the engine.
"""

_PLAIN = "text/plain; charset=UTF-8"
_JSON = "application/json; charset=UTF-8"
_BINARY = "application/octet-stream"
_NEWLINE_JSON = "application/x-ndjson; charset=UTF-8"
_EXACT = {
    "xml": "application/xml; charset=UTF-8",
    "html": "text/html; charset=UTF-8",
    "prometheus": "text/plain; version=0.0.4; charset=UTF-8",
    "jsonobjecteachrow": _JSON,
}
_BINARY_PREFIXES = (
    *("native", "rowbinary", "parquet", "arrow", "orc", "avro", "protobuf", "capnproto"),
    *("msgpack", "bson", "npy"),
)


def content_type(output_format: str) -> str:
    """The header's value for a format; text/plain for formats made for people."""
    name = output_format.lower()  # the engine ignores the case of a format's name
    if name in _EXACT:
        return _EXACT[name]
    if name.startswith("csv"):
        return f"text/csv; charset=UTF-8; header={'present' if 'withnames' in name else 'absent'}"
    if name.startswith(("json", "ndjson")):
        return _NEWLINE_JSON if "eachrow" in name or name in ("jsonlines", "ndjson") else _JSON
    if name.startswith(("tabseparated", "tsv")):
        return "text/tab-separated-values; charset=UTF-8"
    return _BINARY if name.startswith(_BINARY_PREFIXES) else _PLAIN
