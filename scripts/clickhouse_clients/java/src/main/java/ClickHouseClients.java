import com.clickhouse.client.ClickHouseClient;
import com.clickhouse.client.ClickHouseCredentials;
import com.clickhouse.client.ClickHouseNode;
import com.clickhouse.client.ClickHouseProtocol;
import com.clickhouse.client.ClickHouseResponse;
import com.clickhouse.client.api.Client;
import com.clickhouse.client.api.data_formats.ClickHouseBinaryFormatReader;
import com.clickhouse.client.api.query.QueryResponse;
import com.clickhouse.client.api.query.QuerySettings;
import com.clickhouse.data.ClickHouseFormat;
import com.clickhouse.data.ClickHouseRecord;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.Properties;
import java.util.concurrent.TimeUnit;

/**
 * Copies a table through each Java client of ClickHouse with its default settings, and prints one
 * line per check: client, check, value.
 *
 * <p>Arguments: host, port, user, password, the table to read, the prefix of the tables to write.
 * The caller compares the values and the tables.
 */
public final class ClickHouseClients {
  private static final String TIMES =
      "SELECT toDateTime('2026-01-02 03:04:05', 'Europe/Berlin') AS berlin, toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC') AS utc";
  private static final String BIG = "SELECT number, toString(number) AS s FROM numbers(20000000)";
  private static final String FAILS = "SELECT number, throwIf(number = 3000000) AS t FROM numbers(5000000)";
  private static final int QUICK_ROWS = 1000;

  private final String endpoint;
  private final String user;
  private final String password;
  private final String source;
  private final String prefix;

  private ClickHouseClients(String[] arguments) {
    endpoint = arguments[0] + ":" + arguments[1];
    user = arguments[2];
    password = arguments[3];
    source = arguments[4];
    prefix = arguments[5];
  }

  public static void main(String[] arguments) throws Exception {
    ClickHouseClients check = new ClickHouseClients(arguments);
    check.jdbc();
    check.clientV2();
    check.clientV1();
  }

  private static void say(String client, String check, Object value) {
    System.out.println(client + "\t" + check + "\t" + value);
  }

  private void jdbc() throws Exception {
    Properties properties = new Properties();
    properties.put("user", user);
    properties.put("password", password);
    try (Connection connection = DriverManager.getConnection("jdbc:clickhouse://" + endpoint + "/market", properties);
        Statement statement = connection.createStatement()) {
      copyByJdbc(connection, statement);
      try (ResultSet times = statement.executeQuery(TIMES)) {
        times.next();
        say("jdbc", "types", times.getMetaData().getColumnTypeName(1) + " " + times.getMetaData().getColumnTypeName(2));
        // Not getTimestamp, which is a wall clock without a zone.
        say("jdbc", "instants", times.getObject(1, OffsetDateTime.class).toInstant().toEpochMilli() + " "
            + times.getObject(2, OffsetDateTime.class).toInstant().toEpochMilli());
      }
      try (ResultSet big = statement.executeQuery(BIG)) {
        for (int row = 0; row < QUICK_ROWS; row++) {
          big.next();
        }
        say("jdbc", "left at", big.getLong(1));
      }
      long rows = 0;
      try (ResultSet fails = statement.executeQuery(FAILS)) {
        while (fails.next()) {
          rows++;
        }
        say("jdbc", "error", "none after " + rows + " rows");
      } catch (Exception error) {
        say("jdbc", "error", rows <= 3000000 ? "raised" : "late");
      }
      try (ResultSet one = statement.executeQuery("SELECT 1")) {
        one.next();
        say("jdbc", "alive", one.getInt(1));
      }
    }
  }

  private void copyByJdbc(Connection connection, Statement statement) throws Exception {
    String insert = "INSERT INTO " + prefix + "jdbc VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    try (ResultSet rows = statement.executeQuery("SELECT * FROM " + source);
        PreparedStatement copy = connection.prepareStatement(insert)) {
      while (rows.next()) {
        copy.setString(1, rows.getString(1));
        copy.setTimestamp(2, rows.getTimestamp(2));
        copy.setTimestamp(3, rows.getTimestamp(3));
        for (int column = 4; column <= 7; column++) {
          copy.setDouble(column, rows.getDouble(column));
        }
        copy.setBigDecimal(8, rows.getBigDecimal(8));
        for (int column = 9; column <= 13; column++) {
          copy.setObject(column, rows.getObject(column));
        }
        copy.setBoolean(14, rows.getBoolean(14));
        copy.setTimestamp(15, rows.getTimestamp(15));
        copy.setString(16, rows.getString(16));
        copy.addBatch();
      }
      copy.executeBatch();
    }
  }

  private void clientV2() throws Exception {
    try (Client client =
        new Client.Builder().addEndpoint("http://" + endpoint).setUsername(user).setPassword(password).setDefaultDatabase("market").build()) {
      say("client-v2", "ping", client.ping());
      QuerySettings binary = new QuerySettings().setFormat(ClickHouseFormat.RowBinary);
      byte[] rows;
      try (QueryResponse response = client.query("SELECT * FROM " + source, binary).get(60, TimeUnit.SECONDS)) {
        rows = response.getInputStream().readAllBytes();
      }
      client.insert(prefix + "client_v2", new ByteArrayInputStream(rows), ClickHouseFormat.RowBinary).get(60, TimeUnit.SECONDS).close();
      try (QueryResponse response = client.query(TIMES).get(60, TimeUnit.SECONDS)) {
        ClickHouseBinaryFormatReader reader = client.newBinaryFormatReader(response);
        reader.next();
        say("client-v2", "types", reader.getSchema().getColumns().get(0).getOriginalTypeName() + " "
            + reader.getSchema().getColumns().get(1).getOriginalTypeName());
        say("client-v2", "instants", reader.getZonedDateTime(1).toInstant().toEpochMilli() + " "
            + reader.getZonedDateTime(2).toInstant().toEpochMilli());
      }
      QuerySettings named = new QuerySettings().setQueryId("java's own");
      try (QueryResponse response = client.query("SELECT queryID()", named).get(60, TimeUnit.SECONDS)) {
        ClickHouseBinaryFormatReader reader = client.newBinaryFormatReader(response);
        reader.next();
        say("client-v2", "query id", reader.getString(1) + " = " + response.getQueryId());
      }
      try (QueryResponse response = client.query(BIG).get(60, TimeUnit.SECONDS)) {
        ClickHouseBinaryFormatReader reader = client.newBinaryFormatReader(response);
        for (int row = 0; row < QUICK_ROWS; row++) {
          reader.next();
        }
        say("client-v2", "left at", reader.getLong(1));
      }
      say("client-v2", "error", failByClientV2(client));
      say("client-v2", "alive", client.queryAll("SELECT 1").get(0).getInteger(1));
    }
  }

  private String failByClientV2(Client client) {
    long rows = 0;
    try (QueryResponse response = client.query(FAILS).get(60, TimeUnit.SECONDS)) {
      ClickHouseBinaryFormatReader reader = client.newBinaryFormatReader(response);
      while (reader.next() != null) {
        rows++;
      }
      return "none after " + rows + " rows";
    } catch (Exception error) {
      return rows <= 3000000 ? "raised" : "late";
    }
  }

  /** The client of the official Kafka Connect sink. */
  private void clientV1() throws Exception {
    ClickHouseNode node =
        ClickHouseNode.builder()
            .host(endpoint.split(":")[0])
            .port(ClickHouseProtocol.HTTP, Integer.parseInt(endpoint.split(":")[1]))
            .database("market")
            .credentials(ClickHouseCredentials.fromUserAndPassword(user, password))
            .build();
    try (ClickHouseClient client = ClickHouseClient.newInstance(ClickHouseProtocol.HTTP)) {
      say("client-v1", "ping", client.ping(node, 5000));
      byte[] rows;
      try (ClickHouseResponse response =
              client.read(node).format(ClickHouseFormat.RowBinary).query("SELECT * FROM " + source).executeAndWait();
          InputStream body = response.getInputStream()) {
        rows = body.readAllBytes();
      }
      try (ClickHouseResponse response =
          client.read(node).write().table(prefix + "client_v1").format(ClickHouseFormat.RowBinary)
              .data(new ByteArrayInputStream(rows)).executeAndWait()) {
        say("client-v1", "written", response.getSummary().getWrittenRows());
      }
      long sum = 0;
      try (ClickHouseResponse response =
          client.read(node).format(ClickHouseFormat.RowBinaryWithNamesAndTypes).query("SELECT number FROM numbers(100000)")
              .executeAndWait()) {
        for (ClickHouseRecord record : response.records()) {
          sum += record.getValue(0).asLong();
        }
      }
      say("client-v1", "sum", sum);
    }
  }
}
