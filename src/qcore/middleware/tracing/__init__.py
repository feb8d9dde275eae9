"""OpenTelemetry around enqueues, runs and settlements; imported by `qcore.tracing` alone."""
