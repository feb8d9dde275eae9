"""What to annotate with: handlers, middleware, calls, handles, and options."""

from qcore.app.calls.call import Call, Step
from qcore.app.calls.options import Changes, Options
from qcore.app.client.enqueue_middleware import EnqueueMiddleware, SendTasks
from qcore.app.client.handles import BlockingHandle, Handle, TaskUpdate
from qcore.app.tasks.aggregators import Aggregate, AggregationOptions
from qcore.app.tasks.around import AroundFunction
from qcore.app.tasks.chains import BlockingChainHandle, Chain, ChainHandle
from qcore.app.tasks.handler import Handler
from qcore.app.tasks.router_tree import Middleware, Next
from qcore.app.worker.settings import WorkerOptions

__all__ = [
    "Aggregate",
    "AggregationOptions",
    "AroundFunction",
    "BlockingChainHandle",
    "BlockingHandle",
    "Call",
    "Chain",
    "ChainHandle",
    "Changes",
    "EnqueueMiddleware",
    "Handle",
    "Handler",
    "Middleware",
    "Next",
    "Options",
    "SendTasks",
    "Step",
    "TaskUpdate",
    "WorkerOptions",
]
