"""Grafana dashboards as JSON, and how to find them in an installed Kedge."""
