"""The live path: Alpaca's websocket to Kafka, and Kafka to the ledger within seconds. No Dagster in it."""
