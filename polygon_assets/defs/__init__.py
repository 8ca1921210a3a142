"""The Dagster graph: the only place that imports dagster."""
