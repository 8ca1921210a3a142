"""Messages, Arrow schema and table against the one declaration of an aggregate's columns."""

import msgspec
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.aggregate_columns import AGGREGATE_COLUMNS, VENDOR_KEYS, AggregateColumn
from polygon_assets.events.vendor_channels import VendorAggregate
from polygon_assets.messages import FilteredAggregate, RawAggregate
from polygon_assets.streaming.rows import SCHEMA

NAMES = [column.name for column in AGGREGATE_COLUMNS]
ARROW_TYPES = {
    "LowCardinality(String)": pa.string(),
    "DateTime64(3, 'UTC')": pa.timestamp("ms", tz="UTC"),
    "DateTime64(6, 'UTC')": pa.timestamp("us", tz="UTC"),
    "Float64": pa.float64(),
    "Decimal(18, 6)": pa.decimal128(18, 6),
    "Bool": pa.bool_(),
}


def test_a_filtered_message_has_the_stored_columns_in_their_order_and_then_the_alias() -> None:
    assert [*NAMES, "readable_timestamp"] == list(FilteredAggregate.__struct_fields__)


def test_a_filtered_message_has_the_declared_json_types() -> None:
    schema = msgspec.json.schema(FilteredAggregate)["$defs"]["FilteredAggregate"]["properties"]
    for column in AGGREGATE_COLUMNS:
        field = schema[column.name]
        options = {option.get("type") for option in field.get("anyOf", [field])} - {"null"}
        options |= {"string"} if "enum" in field else set()
        assert column.json_type in options, column.name
        assert options - {None} == {column.json_type}, column.name


def test_a_raw_message_has_every_column_and_the_vendors_own_fields() -> None:
    ours = {"received_at", "source"}
    assert {column.raw for column in AGGREGATE_COLUMNS} <= set(RawAggregate.__struct_fields__)
    assert set(VENDOR_KEYS) == set(RawAggregate.__struct_fields__) - ours


def test_the_vendors_event_is_read_by_the_declared_keys() -> None:
    fields = msgspec.structs.fields(VendorAggregate)
    assert {field.name: field.encode_name for field in fields} == VENDOR_KEYS


@pytest.mark.parametrize("column", AGGREGATE_COLUMNS, ids=NAMES)
def test_the_arrow_schema_has_the_declared_types(column: AggregateColumn) -> None:
    is_nullable = column.table_type.startswith("Nullable(")
    plain = column.table_type[len("Nullable(") : -1] if is_nullable else column.table_type
    field = SCHEMA.field(column.name)
    assert (field.type, field.nullable) == (ARROW_TYPES[plain], is_nullable)


def test_the_arrow_schema_has_the_columns_in_their_order() -> None:
    assert SCHEMA.names == NAMES


def test_the_table_has_the_declared_columns(client: Client) -> None:
    rows = client.query("DESCRIBE TABLE market.stock_aggregates").named_results()
    stored = [(row["name"], row["type"]) for row in rows if row["default_type"] != "ALIAS"]
    assert stored == [(column.name, column.table_type) for column in AGGREGATE_COLUMNS]
