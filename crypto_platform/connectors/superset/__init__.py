"""Apache Superset, the dashboards: its home and login, its server, its API, and the dashboards as code."""
