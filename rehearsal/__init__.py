"""The rehearsal: the platform in production's shape on one machine, pointed at real clusters by its environment alone.

``python -m rehearsal`` starts three Kafka brokers, a Spark cluster, S3 and Postgres, with TLS, logins and ACLs; takes a
month through the platform and then the live path, kills every part in the middle of it, and compares each table with
what the same recordings give undisturbed. The emulator stands in for Snowflake.
"""
