"""Execute tasks on a Ray cluster (P. Moritz et al., "Ray: a distributed framework for emerging AI applications", 2018).

initbench must be installed on each of its machines, in the same version, and a plugin's file must lie at the same path.
Workers and nodes may die; where the cluster's head does, Ray ends this process, too.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import math
import platform
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, cast

from initbench.errors import InitbenchError, UsageError
from initbench.events import Emit, Event
from initbench.execute import Executor, Lost, ResultT, SharedT, TaskT, Work, register_executor
from initbench.execute.messages import Done, Raised, outcome, raised, unpack
from initbench.execute.ray_cluster import connected
from initbench.plugins import Plugin, load_same_plugins, loaded_plugins
from initbench.revision import package_revision

if TYPE_CHECKING:
    from ray import ObjectRef

CLUSTER_START_S = 7.0  # until the first result of a local cluster: 5 to 8 s on two cores of an Intel Xeon
RETRIES = 3  # Ray's own default: workers and nodes may die without fault of the task
AHEAD = 2  # tasks in flight per CPU of the cluster: one is done, one waits beside it
LOOK_S = 10  # how often the CPUs are counted again: nodes come and go


@register_executor("ray", takes_address=True, start_s=CLUSTER_START_S)
def create(workers: int, address: str | None) -> Executor:
    """Return the executor of a cluster; raises UsageError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError("executor 'ray': the package Ray is not installed: pip install 'initbench[ray]'.")
    return OnRay(workers, address)


@dataclass(frozen=True)
class OnRay:
    """An executor of the cluster at `address`, or of one with `workers` CPUs that is started for the call.

    One Ray task per task, each on one CPU. Its events travel with its result.
    """

    workers: int
    address: str | None = None

    def __call__(
        self, tasks: Iterable[TaskT], work: Work[TaskT, SharedT, ResultT], shared: SharedT, emit: Emit
    ) -> Generator[tuple[TaskT, ResultT | Lost], None, None]:
        """Do the tasks; raises InitbenchError where the cluster cannot be had, or is lost."""
        waiting = iter(tasks)
        if not (ahead := list(islice(waiting, 1))):
            return
        with connected(self.workers, self.address):
            flight: _Flight[TaskT] = _Flight(chain(ahead, waiting), work, shared)
            try:
                while flight.take_off():
                    yield flight.land(emit)
            finally:
                flight.cancel()


class _Flight(Generic[TaskT]):
    """The tasks that are not done: a few of them are with Ray, the others wait here, so that results do not pile up."""

    def __init__(self, tasks: Iterator[TaskT], work: Work[TaskT, Any, Any], shared: Any) -> None:
        import ray

        self._ray: Any = ray
        self._waiting = tasks
        self._pending: dict[ObjectRef[bytes], TaskT] = {}
        self._landed: SimpleQueue[tuple[ObjectRef[bytes], Future[bytes]]] = SimpleQueue()
        self._room, self._room_at = 0, -math.inf
        self._code = _code()
        self._execute = ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=False)(_execute)
        with _own_errors():
            self._given = [ray.put((work, shared))]  # in a list, as Ray unpickles what is an argument itself too early

    def take_off(self) -> bool:
        """Hand Ray as many tasks as there is room for; say whether any is there."""
        with _own_errors():
            for task in islice(self._waiting, max(0, self._limit() - len(self._pending))):
                packed = _pack(task)
                reference = self._execute.remote(self._given, self._code, loaded_plugins(), sys.path, packed)
                self._pending[reference] = task
                reference.future().add_done_callback(partial(self._note, reference))
        return bool(self._pending)

    def land(self, emit: Emit) -> tuple[TaskT, Any]:
        """Wait for one task, emit its events, and return it with its result."""
        reference, future = self._next()
        task = self._pending.pop(reference)
        reply = self._reply(future)
        return task, reply if isinstance(reply, Lost) else _result(reply, emit)

    def _note(self, reference: ObjectRef[bytes], future: Future[bytes]) -> None:
        """Hear, in a thread of Ray's, that a task is done."""
        self._landed.put((reference, future))

    def _next(self) -> tuple[ObjectRef[bytes], Future[bytes]]:
        """Wait outside of Ray: its own `wait` would turn what a signal handler raises into another exception."""
        while True:
            with contextlib.suppress(Empty):
                return self._landed.get(timeout=LOOK_S)
            self.take_off()

    def cancel(self) -> None:
        """Stop what is with Ray."""
        for reference in self._pending:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference, force=True)

    def _limit(self) -> int:
        """Return how many tasks may be with Ray at a time."""
        if time.monotonic() > self._room_at + LOOK_S:
            self._room_at = time.monotonic()
            self._room = AHEAD * max(1, int(self._ray.cluster_resources().get("CPU", 0)))
        return self._room

    def _reply(self, future: Future[bytes]) -> bytes | Lost:
        """Return what the worker sent back; Lost where Ray has given the task up."""
        errors = self._ray.exceptions
        died = errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError
        with _own_errors():
            try:
                return future.result()
            except died as error:
                return Lost(f"Ray gave it up after {1 + RETRIES} tries ({type(error).__name__}: {_first_line(error)})")


@contextlib.contextmanager
def _own_errors() -> Iterator[None]:
    """Raise what Ray raises as an InitbenchError. What `work` raises is not among it: that comes as a message."""
    from ray.exceptions import RayError, RayTaskError

    try:
        yield
    except RayTaskError as error:
        raise InitbenchError(
            f"a Ray worker cannot execute runs: {error.cause}. Install initbench there, in the same version."
        ) from error
    except RayError as error:
        raise InitbenchError(f"the Ray cluster failed ({type(error).__name__}: {_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _result(reply: bytes, emit: Emit) -> Any:
    """Emit the events of a task, and return its result or raise its exception."""
    events, message = unpack(reply)
    for event in events:
        emit(event)
    match unpack(message):
        case Done(result):
            return result
        case Raised(error):
            raise error


_opened: tuple[str, Any] | None = None  # in a worker: what `work` and `shared` are, and the name of their reference


def _execute(
    given: list[ObjectRef[Any]], code: dict[str, str], plugins: tuple[Plugin, ...], path: list[str], task: bytes
) -> bytes:
    """Do one task in a Ray worker; return its packed events and outcome."""
    events: list[Event] = []
    try:
        _check_same(code)
        work, shared = _open(given[0], plugins, path)
    except (InitbenchError, ImportError) as error:
        message = raised(error, _pack)
    else:
        message = outcome(work, task, shared, events.append, _pack)
    return _pack((events, message))


def _code() -> dict[str, str]:
    """Return what numbers depend on besides the task: it must be the same wherever a run is trained."""
    torch = importlib.metadata.version("torch") if importlib.util.find_spec("torch") else "none"
    return {"initbench": package_revision()[:16], "torch": torch}


def _check_same(code: dict[str, str]) -> None:
    """Raise InitbenchError where this machine has other code than the one that asks."""
    here = _code()
    for name, version in code.items():
        if here[name] != version:
            raise InitbenchError(
                f"a machine of the Ray cluster ({platform.node()}) has another {name}: {here[name]} instead of"
                f" {version}. Install the same there; its numbers would not be those of this program."
            )


def _pack(value: Any) -> bytes:
    """Return it as bytes, as Ray pickles: what a program defines in its main module is taken along."""
    from ray import cloudpickle

    return bytes(cast(Any, cloudpickle).dumps(value))


def _open(given: ObjectRef[Any], plugins: tuple[Plugin, ...], path: list[str]) -> Any:
    """Return `work` and `shared`, unpickled once per worker, which can import what its driver can."""
    global _opened
    if _opened is None or _opened[0] != given.hex():
        import ray

        sys.path.extend(folder for folder in path if folder not in sys.path and Path(folder).exists())
        load_same_plugins(plugins)  # a task may hold the options of a user's own model
        _opened = given.hex(), ray.get(given)
    return _opened[1]
