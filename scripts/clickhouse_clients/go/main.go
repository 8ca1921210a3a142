// Copies a table through clickhouse-go over HTTP, with default settings and with each compression,
// and prints one line per check: client, check, value.
//
// Arguments: host, port, user, password, the table to read, the prefix of the tables to write. The
// caller compares the values and the tables.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"
)

const (
	times     = "SELECT toDateTime('2026-01-02 03:04:05', 'Europe/Berlin') AS berlin, toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC') AS utc"
	big       = "SELECT number, toString(number) AS s FROM numbers(100000000000)"
	fails     = "SELECT number, throwIf(number = 3000000) AS t FROM numbers(5000000)"
	quickRows = 1000
)

// row has one field per column of market.stock_aggregates, in its order.
type row struct {
	symbol                         string
	start, end                     time.Time
	open, high, low, close         float64
	volume                         decimal.Decimal
	vwap                           *float64
	accumulatedVolume              *decimal.Decimal
	officialOpen, dayVwap, average *float64
	otc                            bool
	receivedAt                     time.Time
	source                         string
}

func (r *row) fields() []any {
	return []any{&r.symbol, &r.start, &r.end, &r.open, &r.high, &r.low, &r.close, &r.volume, &r.vwap, &r.accumulatedVolume,
		&r.officialOpen, &r.dayVwap, &r.average, &r.otc, &r.receivedAt, &r.source}
}

func (r *row) values() []any {
	return []any{r.symbol, r.start, r.end, r.open, r.high, r.low, r.close, r.volume, r.vwap, r.accumulatedVolume,
		r.officialOpen, r.dayVwap, r.average, r.otc, r.receivedAt, r.source}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	for name, compression := range map[string]*clickhouse.Compression{
		"go_default": nil,
		"go_lz4":     {Method: clickhouse.CompressionLZ4},
		"go_zstd":    {Method: clickhouse.CompressionZSTD},
		"go_gzip":    {Method: clickhouse.CompressionGZIP},
	} {
		check(name, os.Args[1]+":"+os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]+name, compression)
	}
}

func check(name, address, user, password, source, target string, compression *clickhouse.Compression) {
	connection, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{address},
		Protocol:    clickhouse.HTTP,
		Auth:        clickhouse.Auth{Database: "market", Username: user, Password: password},
		Compression: compression,
	})
	must(err)
	defer connection.Close()
	say := func(check string, value any) { fmt.Printf("%s\t%s\t%v\n", name, check, value) }
	ctx := context.Background()
	copyTable(ctx, connection, source, target)
	rows, err := connection.Query(ctx, times)
	must(err)
	var berlin, utc time.Time
	rows.Next()
	must(rows.Scan(&berlin, &utc))
	say("types", rows.ColumnTypes()[0].DatabaseTypeName()+" "+rows.ColumnTypes()[1].DatabaseTypeName())
	say("instants", fmt.Sprint(berlin.UnixMilli(), " ", utc.UnixMilli(), " ", berlin.Location()))
	must(rows.Close())
	var id string
	must(connection.QueryRow(clickhouse.Context(ctx, clickhouse.WithQueryID("go's own")), "SELECT queryID()").Scan(&id))
	say("query id", id)
	say("left at", leaveEarly(ctx, connection))
	say("error", failure(ctx, connection))
	var one uint8
	must(connection.QueryRow(ctx, "SELECT 1").Scan(&one))
	say("alive", one)
}

func copyTable(ctx context.Context, connection driver.Conn, source, target string) {
	rows, err := connection.Query(ctx, "SELECT * FROM "+source)
	must(err)
	defer rows.Close()
	batch, err := connection.PrepareBatch(ctx, "INSERT INTO "+target)
	must(err)
	for rows.Next() {
		var r row
		must(rows.Scan(r.fields()...))
		must(batch.Append(r.values()...))
	}
	must(rows.Err())
	must(batch.Send())
}

// leaveEarly cancels the query after some rows: closing alone reads to the end.
func leaveEarly(ctx context.Context, connection driver.Conn) uint64 {
	cancelled, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := connection.Query(cancelled, big)
	must(err)
	var number uint64
	var text string
	for i := 0; i < quickRows; i++ {
		rows.Next()
		must(rows.Scan(&number, &text))
	}
	return number
}

func failure(ctx context.Context, connection driver.Conn) string {
	rows, err := connection.Query(ctx, fails)
	must(err)
	defer rows.Close()
	count := 0
	for rows.Next() {
		count++
	}
	if rows.Err() == nil {
		return fmt.Sprint("none after ", count, " rows")
	}
	if count > 3000000 {
		return "late"
	}
	return "raised"
}
