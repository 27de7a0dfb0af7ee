"""Rows go into panes, panes add up to windows, windows close."""
