"""The Redis broker."""

from qcore.adapters.redis.broker import RedisBroker

__all__ = ["RedisBroker"]
