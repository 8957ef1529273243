"""What the emulator of Snowflake lacks, put into fakesnow."""
