"""What the parts of a worker have in common."""

from qcore.app.calls.codec import Codec
from qcore.app.client.client import Client
from qcore.app.tasks.router import Router
from qcore.app.worker.control import WorkerControl
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.retrying import Retrying
from qcore.app.worker.settings import WorkerSettings
from qcore.domain.queue_weights import QueueWeights
from qcore.domain.record import record
from qcore.domain.retry import Dice
from qcore.ports import Broker, Clock


@record
class WorkerEnvironment:
    """What a worker was made with, and what it keeps from one run to the next."""

    broker: Broker
    store: str
    """What the broker is called in the log."""
    router: Router
    settings: WorkerSettings
    weights: QueueWeights
    clock: Clock
    codec: Codec
    dice: Dice
    client: Client
    max_payload: int
    max_result: int
    control: WorkerControl
    emit: Instruments
    retrying: Retrying
