"""Brokers around brokers: one forwards, one has hooks for what passes, one tells instruments."""

from qcore.adapters.wrappers.forwarding import ForwardingBroker
from qcore.adapters.wrappers.traced import TracedBroker
from qcore.adapters.wrappers.transforming import TransformingBroker

__all__ = ["ForwardingBroker", "TracedBroker", "TransformingBroker"]
