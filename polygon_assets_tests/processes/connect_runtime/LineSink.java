// A sink for tests, because Connect's jars have none: it appends each value to a file, and its task
// fails while another file exists.

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.sink.SinkConnector;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;

public class LineSink extends SinkConnector {
  private Map<String, String> properties;

  @Override
  public void start(Map<String, String> started) {
    properties = started;
  }

  @Override
  public Class<? extends Task> taskClass() {
    return Lines.class;
  }

  @Override
  public List<Map<String, String>> taskConfigs(int maxTasks) {
    return List.of(properties);
  }

  @Override
  public void stop() {}

  @Override
  public ConfigDef config() {
    ConfigDef.Importance high = ConfigDef.Importance.HIGH;
    return new ConfigDef()
        .define("lines", ConfigDef.Type.STRING, high, "The file that gets the values.")
        .define("fault", ConfigDef.Type.STRING, high, "While this file exists, the task fails.")
        .define("password", ConfigDef.Type.PASSWORD, high, "Quoted in the trace of a failure.");
  }

  @Override
  public String version() {
    return "1";
  }

  public static class Lines extends SinkTask {
    private Map<String, String> properties;

    @Override
    public void start(Map<String, String> started) {
      properties = started;
    }

    @Override
    public void put(Collection<SinkRecord> records) {
      for (SinkRecord record : records) {
        if (Files.exists(Path.of(properties.get("fault")))) {
          throw new ConnectException("refused with password " + properties.get("password"));
        }
        try {
          Files.writeString(
              Path.of(properties.get("lines")),
              record.value() + "\n",
              StandardOpenOption.CREATE,
              StandardOpenOption.APPEND);
        } catch (IOException error) {
          throw new ConnectException(error);
        }
      }
    }

    @Override
    public void stop() {}

    @Override
    public String version() {
      return "1";
    }
  }
}
