"""Metrics and traces over OpenTelemetry's protocol."""
