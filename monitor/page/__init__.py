"""The status page: what it says and shows. The routes are in :mod:`monitor.web.web`."""
