"""Benchmark a store and a worker, and audit that every task runs exactly once (`qcore bench`)."""
