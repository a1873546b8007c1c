"""What every protocol does with a prediction: ask while the client is there, say how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from adapter_runtime import InvalidInput, Kind
from serving.admission.deadlines import HEADER, deadline_s
from serving.errors import ClientGone
from serving.logs import request_id_var
from serving.observing import UNKNOWN, Observer
from serving.service import Answer, Call, Service
from serving.settings import Settings

_FALSE = frozenset({"false", "0", "no"})
Found = TypeVar("Found")


@contextmanager
def counting_refusals(observer: Observer) -> Iterator[None]:
    """Counts what keeps a body from becoming a Call.

    Raises:
        ClientGone: the client left before its request was complete.
        Exception: whatever the block raises.
    """
    try:
        yield
    except ClientDisconnect:
        gone = ClientGone("The client left before its request was complete.")
        observer.refused(UNKNOWN, gone)
        raise gone from None
    except Exception as error:
        observer.refused(UNKNOWN, error)
        raise


def asked(
    request: Request,
    settings: Settings,
    task: str,
    items: Sequence[Any],
    parameters: Mapping[str, Any],
    is_list: bool = False,
) -> Call:
    """A Call of a request, with what its headers and query say of every protocol's.

    Args:
        request: its deadline, patience and version count.
        settings: the deadline of who states none.
        task, items, parameters, is_list: as `Call`.

    Raises:
        InvalidInput: the deadline or the version makes no sense.
    """
    headers = request.headers
    return Call(
        task=task,
        items=items,
        parameters=parameters,
        request_id=request_id_var.get(),
        deadline_s=deadline_s(headers.get(HEADER), settings.default_deadline_s),
        is_list=is_list,
        waits=is_patient(headers),
        version=asked_version(request),
    )


def refuse_others(kind: str | None, task: str, wanted: Sequence[Kind]) -> None:
    """Let only tasks through that answer what a route gives.

    Args:
        kind: what the task answers; None where nobody knows yet.
        task: its name.
        wanted: kinds that fit.

    Raises:
        InvalidInput: the task answers something else.
    """
    if kind is not None and kind not in wanted:
        message = f"{task!r:.60} answers {kind}; {' or '.join(wanted)} is wanted here."
        raise InvalidInput(message, "task")


async def answer_while_connected(service: Service, call: Call, request: Request) -> Answer:
    """The answer, or ClientGone as soon as the client closes the connection.

    Args:
        service: answers.
        call: what is asked.
        request: whose body has been read whole.

    Raises:
        ClientGone: nobody waits any more; the Call was cancelled.
        PolyheadError: the Call cannot be answered.
    """
    return await while_connected(service.answer(call), request)


async def while_connected(work: Awaitable[Found], request: Request) -> Found:
    """What some work finds, or ClientGone as soon as the client closes the connection.

    Args:
        work: is cancelled then.
        request: whose body has been read whole.

    Raises:
        ClientGone: nobody waits any more.
        Exception: whatever the work raises.
    """
    task = asyncio.current_task()
    assert task is not None, "A request is served outside a task. This is a bug."
    is_answered = is_gone = False

    def stop(_: asyncio.Future[Any]) -> None:
        nonlocal is_gone
        if not is_answered:
            is_gone = True
            task.cancel()

    # After the body, the only message that can come is that the client has left.
    watch = asyncio.ensure_future(request.receive())
    watch.add_done_callback(stop)
    try:
        return await work
    except asyncio.CancelledError:
        if not is_gone:
            raise
        task.uncancel()
        raise ClientGone("The client closed the connection.") from None
    finally:
        is_answered = True
        watch.cancel()


def answer_headers(answer: Answer) -> dict[str, str]:
    """How the answer came about; times in milliseconds."""
    timing = answer.timing
    encode, queue, load = 1000 * timing.encode_s, 1000 * timing.queue_s, 1000 * timing.load_s
    compute, decode = 1000 * timing.compute_s, 1000 * timing.decode_s
    headers = {
        "x-task-version": answer.version,
        "x-adapter-residency": answer.residency,
        "x-encode-time": f"{encode:.1f}",
        "x-queue-time": f"{queue:.1f}",
        "x-inference-time": f"{compute:.1f}",
        "server-timing": f"encode;dur={encode:.2f}, queue;dur={queue:.2f}, load;dur={load:.2f}, "
        f"forward;dur={compute:.2f}, decode;dur={decode:.2f}",
        "x-batch-tokens": str(answer.batch_tokens),
        "x-batch-tasks": str(answer.batch_tasks),
    }
    if answer.truncated:
        headers["x-truncated"] = "true"
    return headers


def asked_version(request: Request) -> str | None:
    """The version that `?version=` asks for; None leaves it to the task.

    Raises:
        InvalidInput: it is empty or given twice.
    """
    if not request.scope["query_string"]:
        return None
    asked = request.query_params.getlist("version")
    if len(asked) > 1 or asked == [""]:
        raise InvalidInput("expected the id of one version.", "version")
    return asked[0] if asked else None


def is_patient(headers: Mapping[str, str]) -> bool:
    """Whether the client waits for weights that are not in memory: `x-wait-for-model`."""
    return headers.get("x-wait-for-model", "true").lower() not in _FALSE
