"""Apache Kafka as the stack's broker, instead of the embedded one: real retention and memory.

Add how its files are installed to `install`, how its process is configured to `node`; the
choice of a broker belongs to `launcher.servers`.
"""
