"""Upgrades the engine's Native format to the revision a client reads (`client_protocol_version`).

chDB writes revision 0. Later revisions add a block info before each block (any revision), the time
zone to `DateTime` (54337) and a byte before each column's values (54454). Add such bytes here; the
lengths of columns belong to `native_types`. Clients always send revision 0, as to the real server.
"""

from collections.abc import Callable, Iterator, Mapping

from polygon_assets.local.clickhouse.errors import ClickHouseError
from polygon_assets.local.clickhouse.native_types import Cursor, OpaqueTypeError, layout

_WITH_TIME_ZONE = 54337  # DBMS_MIN_REVISION_WITH_TIME_ZONE_PARAMETER_IN_DATETIME_DATA_TYPE
_WITH_SERIALIZATION_KIND = 54454  # DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION
# No overflow row, bucket -1, as the real server sends over HTTP.
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"

TypesByColumn = Mapping[str, str]


def upgraded(block: bytes, revision: int, full_types: Callable[[], TypesByColumn]) -> bytes:
    """One block of the engine, in the form that a client of this revision expects.

    `full_types` is called only when a type has lost its time zone. Raises ClickHouseError for a
    column whose end cannot be found, unless it is the last column.
    """
    if revision <= 0:
        return block
    with_kind = revision >= _WITH_SERIALIZATION_KIND
    if not with_kind and (revision < _WITH_TIME_ZONE or b"\x08DateTime" not in block):
        return _BLOCK_INFO + block
    return b"".join([_BLOCK_INFO, *_upgraded_columns(block, with_kind, full_types)])


def _upgraded_columns(
    block: bytes, with_kind: bool, full_types: Callable[[], TypesByColumn]
) -> Iterator[bytes]:
    cursor = Cursor(block)
    columns, rows = cursor.varint(), cursor.varint()
    yield block[: cursor.position]
    for number in range(columns):
        name, type_name = cursor.text(), cursor.text()
        start = cursor.position
        full_type = full_types().get(name, type_name) if type_name == "DateTime" else type_name
        yield _text(name) + _text(full_type) + (b"\x00" if with_kind else b"")
        try:
            layout(type_name).skip(cursor, rows)
        except OpaqueTypeError as error:
            if number < columns - 1 and with_kind:
                raise _cannot_step_over(error, name) from error
            cursor.position = len(block)
            yield block[start:]
            return
        yield block[start : cursor.position]


def _cannot_step_over(error: OpaqueTypeError, name: str) -> ClickHouseError:
    message = (
        f"column {name} of type {error} is supported in Native with client_protocol_version only "
        "as the last column: select it last, cast it to String, or use another format"
    )
    return ClickHouseError.refused(48, "NOT_IMPLEMENTED", message)


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogateescape")
    size, head = len(data), bytearray()
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + data
