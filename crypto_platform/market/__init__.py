"""What a bar, a session, a feed and a complete, fresh or plausible day are; no I/O but the feeds' YAML."""
