"""The stages of a Call as spans, from the times in its answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanContext, TraceFlags, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from serving.recent import Batch
from serving.service import Answer, Call, Course

Attributes = dict[str, AttributeValue]
_MAX_FORWARDS = 32
_MAX_TOLD = 1024


class Stages:
    """Adds spans below a request's: encode, queue, load, forward, decode.

    A batch is a trace of its own, told once however many requests it served; each request's
    forward links to it. It is told where one of its requests is sampled.

    Args:
        tracer: of the requests.
        processor: takes ended spans.
        resource: of this server.
        release: of this server.
    """

    def __init__(
        self, tracer: Tracer, processor: SpanProcessor, resource: Resource, release: str
    ) -> None:
        self._tracer = tracer
        self._ids = _GivenIds()
        provider = TracerProvider(ALWAYS_ON, resource, False, id_generator=self._ids)
        provider.add_span_processor(processor)
        self._batches = provider.get_tracer("polyhead", release)
        self._told: OrderedDict[str, None] = OrderedDict()

    def add(self, request: Span, answers: Iterable[tuple[Call, Answer]]) -> None:
        """Tell the stages of each answered Call; event loop only."""
        context = set_span_in_context(request)
        for call, answer in answers:
            if answer.course is not None:
                self._add(context, call, answer, answer.course)

    def _add(self, context: Context, call: Call, answer: Answer, course: Course) -> None:
        own: Attributes = {"polyhead.task": call.task, "polyhead.version": answer.version}
        batches = course.batches[:_MAX_FORWARDS]
        begins_s = batches[0].began_s if batches else course.ended_s
        if course.admission_s:
            reason = own | {"polyhead.load.reason": "admission"}
            self._tell("load", context, course.began_s - course.admission_s, course.began_s, reason)
        items = own | {"polyhead.items": len(call.items), "polyhead.truncated": answer.truncated}
        self._tell("encode", context, course.began_s, course.queued_s, items)
        self._tell("queue", context, course.queued_s, begins_s, own)
        if course.loaded_s:
            reason = own | {"polyhead.load.reason": str(answer.residency)}
            began_s = max(course.queued_s, course.loaded_s - answer.timing.load_s)
            self._tell("load", context, began_s, course.loaded_s, reason)
        for batch in batches:
            self._tell_forward(context, batch, own)
        began_s = course.ended_s - answer.timing.decode_s
        self._tell("decode", context, began_s, course.ended_s, own)

    def _tell_forward(self, context: Context, batch: Batch, own: Attributes) -> None:
        computes_s = batch.began_s + batch.load_s
        if batch.load_s:
            reason = own | {"polyhead.load.reason": "upload"}
            self._tell("load", context, batch.began_s, computes_s, reason)
        facts, link = own | _facts(batch), Link(_context_of(batch))
        self._tell("forward", context, computes_s, batch.ended_s, facts, [link])
        self._tell_batch(batch)

    def _tell_batch(self, batch: Batch) -> None:
        """Once, under its own id: requests of other processes may link to it too."""
        if batch.id in self._told:
            return
        self._told[batch.id] = None
        if len(self._told) > _MAX_TOLD:
            self._told.popitem(last=False)
        self._ids.next = _context_of(batch)
        facts = _facts(batch) | {"polyhead.batch.task_names": list(batch.tasks)}
        span = self._batches.start_span(
            "batch", Context(), attributes=facts, start_time=_nanoseconds(batch.began_s)
        )
        span.end(_nanoseconds(batch.ended_s))

    def _tell(
        self,
        name: str,
        context: Context,
        began_s: float,
        ended_s: float,
        attributes: Attributes,
        links: Sequence[Link] = (),
    ) -> None:
        span = self._tracer.start_span(
            name, context, attributes=attributes, links=links, start_time=_nanoseconds(began_s)
        )
        span.end(_nanoseconds(max(began_s, ended_s)))


class _GivenIds(IdGenerator):
    """The ids of the batch that is told next."""

    next: SpanContext

    def generate_trace_id(self) -> int:
        return self.next.trace_id

    def generate_span_id(self) -> int:
        return self.next.span_id


def _context_of(batch: Batch) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(batch.id, 16), int(batch.id[16:], 16), False, flags)


def _facts(batch: Batch) -> Attributes:
    return {
        "polyhead.batch.id": batch.id,
        "polyhead.batch.rows": batch.num_rows,
        "polyhead.batch.tokens": batch.num_tokens,
        "polyhead.batch.tasks": batch.num_tasks,
        "polyhead.batch.adapters": batch.num_adapters,
        "polyhead.batch.padding_avoided": batch.num_padding_avoided,
        "polyhead.batch.lane": batch.lane,
    }


def _nanoseconds(unix_s: float) -> int:
    return int(unix_s * 1e9)
