"""Routers that include routers: whose handlers a router serves, and what is said for them there.

Each router is a node. A node has the handlers declared with its router and those of the nodes in
it, by the names that they have there; so a task's handler is found in one table, whichever router
it was declared with. What is declared later goes to every node above as well.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from qcore.app.calls.name_patterns import PREFIX_ENDS_WITH, best_match
from qcore.app.calls.task_template import TaskTemplate
from qcore.app.client.client import BlockingClient, Client
from qcore.app.tasks.aggregators import Aggregator, Aggregators
from qcore.app.tasks.around import Around
from qcore.app.tasks.context import Context
from qcore.app.tasks.ends import EndHook
from qcore.app.tasks.handler import Handler, Sender
from qcore.app.tasks.interactive import is_rerun
from qcore.app.tasks.lifespan import Lifespan
from qcore.app.tasks.periodic import PeriodicDeclarations
from qcore.app.tasks.process_function import running_module
from qcore.app.tasks.task_defaults import TaskDefaults
from qcore.domain.errors import InvalidOption
from qcore.domain.retry import RetryPolicy, parts_of

Next: TypeAlias = Callable[[Context], Awaitable[object]]
"""The rest of the run, which a middleware awaits; it returns the handler's result."""

Middleware: TypeAlias = Callable[[Context, Next], Awaitable[object]]
ErrorHook: TypeAlias = Callable[[Context, BaseException], Awaitable[None] | None]

AnyHandler: TypeAlias = Handler[Any, Any, Any]


class RouterNode:
    """A router's place: what it includes, what it is included in, and what it says for tasks."""

    def __init__(self, sender: Sender | None, defaults: TaskDefaults) -> None:
        self.own_sender = sender
        """The clients of its handlers; None for those of the root."""
        self.defaults = defaults
        self.parent: RouterNode | None = None
        self.prefix = ""
        """What its names begin with in its parent."""
        self.included: list[RouterNode] = []
        self.handlers: dict[str, AnyHandler] = {}
        self.middlewares: list[Middleware] = []
        """Its own, outermost first."""
        self.arounds: list[Around] = []
        """Its own, outermost first."""
        self.lifespans: list[Lifespan] = []
        self.error_hooks: list[ErrorHook] = []
        self.end_hooks: list[EndHook] = []
        self.aggregators = Aggregators()
        self.declarations = PeriodicDeclarations()
        """Its own periodic tasks, and providers of such."""
        self.lifespans_instead: Sequence[Lifespan] | None = None
        """What a test has put in the place of all lifespans."""
        self.state_instead: Mapping[type, Any] = {}
        """What a test has put in the place of what lifespans and arounds yield, by type."""
        self.configured_in: str | None = None
        """What says where tasks wait, for a child process to do so too: a module by its import."""
        self.resolve = lru_cache(maxsize=4096)(self._resolve)
        self.sender: Sender = RootSender(self) if sender is None else sender

    def _resolve(self, name: str) -> AnyHandler | None:
        pattern = best_match(self.handlers, name)
        return None if pattern is None else self.handlers[pattern]

    @property
    def root(self) -> "RouterNode":
        """Return the node that this one is in, over however many others; itself if in none."""
        return self if self.parent is None else self.parent.root

    @property
    def may_be_included(self) -> bool:
        """Whether its handlers may be given other names still."""
        return self.root.own_sender is None

    # --- add -----------------------------------------------------------------------------------

    def include(self, node: "RouterNode", prefix: str) -> None:
        """Have the handlers of another node, and all that it has; see `Router.include`."""
        self._check_may_include(node, prefix)
        self.refuse_taken(f"{prefix}{pattern}" for pattern in node.handlers)
        for aggregator in node.aggregators:
            self._refuse_aggregator(aggregator)
        node.parent, node.prefix = self, prefix
        self.included.append(node)
        for aggregator in node.aggregators:
            self._put_aggregator(aggregator)
        module = running_module()
        for handler in node.handlers.values():
            handler.include_in(module)
        self.adopt({f"{prefix}{pattern}": each for pattern, each in node.handlers.items()})

    def adopt(self, handlers: Mapping[str, AnyHandler]) -> None:
        """Have handlers, here and above; they are known by the names that they have in the root."""
        root, prefix = self, ""
        for root, prefix in self._upwards():
            root.handlers |= {f"{prefix}{pattern}": each for pattern, each in handlers.items()}
            root.resolve.cache_clear()
        for pattern, handler in handlers.items():
            handler.rename(f"{prefix}{pattern}", root.defaults_of(handler).options)
            handler.may_be_included = root.may_be_included

    def add_aggregator(self, aggregator: Aggregator) -> None:
        """Have an aggregator, here and above."""
        self._refuse_aggregator(aggregator)
        self._put_aggregator(aggregator)

    def refuse_taken(self, patterns: Iterable[str], function: object = None) -> None:
        """Raise `InvalidOption` for a pattern that has a handler, here or above.

        Unless a `function` is to take the place of a handler's that was declared by the same cell.
        """
        names = list(patterns)
        for node, prefix in self._upwards():
            for name in names:
                taken = node.handlers.get(f"{prefix}{name}")
                if taken is not None and not is_rerun(taken.function, function):
                    raise InvalidOption(
                        f"{prefix + name!r} has a handler already, {taken.function!r}: give each a "
                        "name of its own"
                    )

    def _check_may_include(self, node: "RouterNode", prefix: object) -> None:
        if node.own_sender is not None or node is self.root:
            what = "itself" if node is self.root else "a Qcore"
            raise InvalidOption(f"{what} cannot be included: expected another Router()")
        if node.parent is not None:
            raise InvalidOption(
                "this router is included already: expected one for each place, as a function makes "
                "them"
            )
        if not isinstance(prefix, str) or not (prefix == "" or prefix.endswith(PREFIX_ENDS_WITH)):
            raise InvalidOption(f"prefix is {prefix!r}: expected one that ends in ':', as 'mail:'")
        for pattern, handler in node.handlers.items():
            if f"{prefix}{pattern}":
                # a name may be too long now
                TaskTemplate(f"{prefix}{pattern}", handler.options).check()

    def _upwards(self) -> "Iterator[tuple[RouterNode, str]]":
        """Yield itself and the nodes that it is in, with what its names begin with there."""
        node: RouterNode | None = self
        prefix = ""
        while node is not None:
            yield node, prefix
            prefix, node = f"{node.prefix}{prefix}", node.parent

    def _refuse_aggregator(self, aggregator: Aggregator) -> None:
        for node, _ in self._upwards():
            node.aggregators.refuse_taken(aggregator)

    def _put_aggregator(self, aggregator: Aggregator) -> None:
        for node, _ in self._upwards():
            node.aggregators.add(aggregator)

    # --- what is said for a handler --------------------------------------------------------------

    def path_to(self, handler: AnyHandler) -> "Sequence[RouterNode]":
        """Return the nodes from this one to that of a handler, without this one."""
        found: list[RouterNode] = []
        node: Any = handler.owner
        while node is not None and node is not self:
            found.append(node)
            node = node.parent
        return found[::-1]

    def middlewares_of(self, handler: AnyHandler) -> Sequence[Middleware]:
        """Return the middleware around a handler, outermost first."""
        if handler.owner is self:
            return self.middlewares
        return [each for node in (self, *self.path_to(handler)) for each in node.middlewares]

    def arounds_of(self, handler: AnyHandler) -> Sequence[Around]:
        """Return the arounds of a handler, outermost first: those here first, its own last."""
        nodes = (self, *self.path_to(handler))
        every = [*(each for node in nodes for each in node.arounds), *handler.arounds]
        return [each for each in every if handler.kind in each.kinds]

    def error_hooks_of(self, handler: AnyHandler) -> Sequence[ErrorHook]:
        """Return the error hooks of a handler, those here first."""
        if handler.owner is self:
            return self.error_hooks
        return [each for node in (self, *self.path_to(handler)) for each in node.error_hooks]

    @property
    def has_end_hooks(self) -> bool:
        """Whether it has end hooks, or a node in it has."""
        return bool(self.end_hooks) or any(each.has_end_hooks for each in self.included)

    def end_hooks_of(self, name: str) -> Sequence[EndHook]:
        """Return the end hooks for the tasks of a name, those here first.

        None for those of hooks. Of a name without a handler those here alone count.
        """
        handler, prefix = self.resolve(name), ""
        found: list[EndHook] = []
        for node in (self, *(() if handler is None else self.path_to(handler))):
            prefix = f"{prefix}{node.prefix}"
            found += [each for each in node.end_hooks if each.takes(name, prefix)]
        return found if handler is None or handler.is_heard else ()

    def policy_of(self, handler: AnyHandler, worker: RetryPolicy | None) -> RetryPolicy:
        """Return what follows a failure: the handler says it, its routers, the worker, this one."""
        parts = handler.policy
        for node in reversed(self.path_to(handler)):
            parts = parts.over(node.defaults.policy)
        return parts.over(parts_of(worker)).over(self.defaults.policy).whole()

    def defaults_of(self, handler: AnyHandler) -> TaskDefaults:
        """Return what is said for a handler, here and on the way to it; what is nearer wins."""
        defaults = self.defaults
        for node in self.path_to(handler):
            defaults = node.defaults.over(defaults)
        return defaults

    def all_lifespans(self) -> Sequence[Lifespan]:
        """Return its lifespans, and those of the nodes in it, or what a test has put there."""
        if self.lifespans_instead is not None:
            return self.lifespans_instead
        inner = [each for node in self.included for each in node.all_lifespans()]
        return [*self.lifespans, *inner]

    def all_declarations(self) -> PeriodicDeclarations:
        """Return its periodic tasks and providers, and those of the nodes in it."""
        whole = PeriodicDeclarations()
        whole.add_all(self.declarations)
        for node in self.included:
            whole.add_all(node.all_declarations())
        return whole


class RootSender:
    """The sender of a router's handlers: that of the `Qcore` which the router is included in."""

    def __init__(self, node: RouterNode) -> None:
        self._node = node

    @property
    def client(self) -> Client:
        """Return the client that awaits; raise `InvalidOption` where there is no `Qcore`."""
        return self._sender("a Client").client

    @property
    def blocking(self) -> BlockingClient:
        """Return the client that blocks; raise `InvalidOption` where there is no `Qcore`."""
        return self._sender("a BlockingClient").blocking

    def _sender(self, client: str) -> Sender:
        sender = self._node.root.own_sender
        if sender is None:
            raise InvalidOption(
                "this router has no client: include it in a Qcore, q.include(router), or enqueue "
                f"through {client}"
            )
        return sender
