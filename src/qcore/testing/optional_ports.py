"""The optional protocols of a broker that must have them: a test fails where it has not."""

from qcore.ports import (
    Aggregating,
    Broker,
    ClaimEndings,
    Limiting,
    Periodic,
    Recording,
    Timekeeper,
    WorkerRegistry,
    aggregating_of,
    claim_endings_of,
    limiting_of,
    periodic_of,
    recording_of,
    timekeeper_of,
    worker_registry_of,
)


def limiting(broker: Broker) -> Limiting:
    """Return a broker as one that can limit its queues; fail where it declares that it cannot."""
    found = limiting_of(broker)
    assert found is not None, "expected Capability.LIMITS"
    return found


def aggregating(broker: Broker) -> Aggregating:
    """Return a broker as one that can aggregate groups; fail where it declares that it cannot."""
    found = aggregating_of(broker)
    assert found is not None, "expected Capability.GROUPS"
    return found


def periodic(broker: Broker) -> Periodic:
    """Return a broker as one that has entries; fail where it declares that it has none."""
    found = periodic_of(broker)
    assert found is not None, "expected Capability.PERIODIC"
    return found


def recording(broker: Broker) -> Recording:
    """Return a broker as one that counts what ends; fail where it declares that it does not."""
    found = recording_of(broker)
    assert found is not None, "expected Capability.STATISTICS"
    return found


def timekeeper(broker: Broker) -> Timekeeper:
    """Return a broker as one whose store has a clock; fail where it declares that it has none."""
    found = timekeeper_of(broker)
    assert found is not None, "expected Capability.TIME"
    return found


def worker_registry(broker: Broker) -> WorkerRegistry:
    """Return a broker as one that lists workers; fail where it declares that it does not."""
    found = worker_registry_of(broker)
    assert found is not None, "expected Capability.WORKERS"
    return found


def claim_endings(broker: Broker) -> ClaimEndings:
    """Return a broker as one that names what its claims ended; fail where it does not."""
    found = claim_endings_of(broker)
    assert found is not None, "expected Capability.CLAIM_ENDINGS"
    return found
