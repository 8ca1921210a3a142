"""The client of Airbyte's APIs: Cloud, a self-managed server or the embedded one.

Calls belong to `api`, retries and errors to `transport`, a job's answer to `job_outcome`; what the
workspace should contain belongs to `batch.airbyte.declaration`, and running a sync to
`defs.batch.airbyte_sync`.

This client exists beside the official SDK (`airbyte-api`) and dagster-airbyte's client because
those two do not read or write a connection's state, do not return a failed job's reasons or its
counts per stream (these are in Airbyte's configuration API), and do not retry a request that
was never sent.
"""
