"""The stream programs: producer, filter and sink, each an ordinary long-running process that knows nothing of Dagster."""
