"""Grafana dashboards and Prometheus rules, as files, and how to find them in an installed Kedge.

The files are data and need nothing to be read. The code beside them makes the dashboards; it needs
grafana-foundation-sdk, which only those who change a dashboard have to install.
"""
