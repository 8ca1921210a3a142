"""What Kafka should contain, compared with what it contains, and made so.

Add a thing that a person applies from a declaration here: pure differences in one module, reading
and changing the system in another. Airbyte's workspace belongs to `batch.airbyte`.
"""
