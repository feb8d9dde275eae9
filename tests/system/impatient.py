"""`python -m tests.system.impatient …`: qcore, whose waits that tests would wait for are short.

A supervisor starts its workers with its own command, so theirs are short, too.
"""

from qcore.entrypoints.cli import main
from qcore.entrypoints.health import claim_probe, vital_signs
from qcore.entrypoints.supervisor import fleet

if __name__ == "__main__":
    claim_probe.INTERVAL = claim_probe.TIMEOUT = 0.2  # type: ignore[misc]
    vital_signs.STALE = 2.0  # type: ignore[misc]
    fleet.SHORTEST_SERVICE = 0.5  # type: ignore[misc]
    fleet.STAGGER = 0.1  # type: ignore[misc]
    main()
