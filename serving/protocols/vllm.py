"""vLLM's classifications, rankings and scores: tasks as models.

Source: https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from adapter_runtime import InvalidInput, Kind, UnknownTask
from serving.logs import request_id_var
from serving.observing import Observer
from serving.protocols.answering import (
    answer_headers,
    answer_while_connected,
    asked,
    counting_refusals,
    refuse_others,
)
from serving.protocols.shaped import shaped_by
from serving.protocols.tei import TeiProtocol
from serving.protocols.vllm_openapi import CLASSIFIED, CLASSIFY, RANKED, RERANK, SCORE, SCORED
from serving.protocols.vllm_wire import (
    Pairs,
    classified,
    pairs_asked,
    ranked,
    read_texts,
    refuse_unknown,
    rerank_asked,
    scored,
    usage,
    vllm_refusal,
)
from serving.protocols.wire import json_response, read_body, read_object
from serving.service import Answer, Service
from serving.settings import Settings

_VECTORS = (Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY)
_SCORING = (Kind.TEXT_RANKING, *_VECTORS)
_EXAMPLE = '{"model": "sentiment", "input": "some text"}'
VllmRoute = shaped_by(vllm_refusal)


class VllmProtocol:
    """`/classify`, `/rerank` and `/score`.

    Args:
        service: answers.
        settings: body and time limits; the task that answers where a body names no model.
        observer: counts bodies that never reach the service.
        tei: answers those who ask the root's `/rerank` in its words.
    """

    def __init__(
        self, service: Service, settings: Settings, observer: Observer, tei: TeiProtocol
    ) -> None:
        self._service = service
        self._settings = settings
        self._observer = observer
        self._tei = tei

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(tags=["vllm"], route_class=VllmRoute, default_response_class=Response)
        for path, act, extra, responses in (
            ("/classify", self.classify, CLASSIFY, CLASSIFIED),
            ("/rerank", self.rerank, RERANK, RANKED),
            ("/v1/rerank", self.rerank, RERANK, RANKED),
            ("/v2/rerank", self.rerank, RERANK, RANKED),
            ("/score", self.score, SCORE, SCORED),
            ("/v1/score", self.score, SCORE, SCORED),
        ):
            router.add_api_route(
                path, act, name=path, methods=["POST"], openapi_extra=extra, responses=responses
            )
        return router

    async def classify(self, request: Request) -> Response:
        """A label and the probability of every label, for each text."""
        body = await self._read(request)
        with counting_refusals(self._observer):
            task = self._task(body)
            texts = read_texts(body.pop("input", None), "input")
            refuse_unknown(body)
        answer = await self._answer(request, task, texts, {}, is_list=True)
        refuse_others(answer.kind, task, (Kind.TEXT_CLASSIFICATION,))
        data = classified(answer, await self._labels(task, answer))
        return _response("classify", task, answer, {"object": "list", "data": data})

    async def rerank(self, request: Request) -> Response:
        """Documents by how well they answer a query; with `texts`, as TEI ranks them."""
        body = await self._read(request)
        if "texts" in body and "documents" not in body:
            return await self._tei.rerank(body, request)
        with counting_refusals(self._observer):
            task = self._task(body)
            query, documents, top_n, is_told = rerank_asked(body)
        scores, answer = await self._scores(request, task, [(query, documents)])
        results = ranked(scores[0], documents, top_n, is_told)
        return _response("rerank", task, answer, {"results": results})

    async def score(self, request: Request) -> Response:
        """How well texts go together, pair by pair."""
        body = await self._read(request)
        with counting_refusals(self._observer):
            task = self._task(body)
            pairs = pairs_asked(body)
        scores, answer = await self._scores(request, task, pairs)
        return _response("score", task, answer, {"object": "list", "data": scored(scores)})

    async def _read(self, request: Request) -> dict[str, Any]:
        with counting_refusals(self._observer):
            content = await read_body(request, self._settings.max_body_bytes)
            return read_object(content, _EXAMPLE)

    def _task(self, body: dict[str, Any]) -> str:
        model = body.pop("model", None)
        model = self._settings.default_task if model is None else model
        if not isinstance(model, str) or not model:
            raise InvalidInput("expected the name of a task.", "model")
        return model

    async def _answer(
        self,
        request: Request,
        task: str,
        items: Sequence[Any],
        parameters: dict[str, Any],
        *,
        is_list: bool,
    ) -> Answer:
        call = asked(request, self._settings, task, items, parameters, is_list)
        return await answer_while_connected(self._service, call, request)

    async def _scores(
        self, request: Request, task: str, pairs: Pairs
    ) -> tuple[list[list[float]], Answer]:
        """A score for each text of each query, by a task that ranks or one that makes vectors."""
        kind = await self._kind(task)
        try:
            return await self._scores_of(kind, request, task, pairs)
        except InvalidInput:
            # Before a version's files are read nobody knows its kind; asking for it reads them.
            known = await self._kind(task)
            refuse_others(known, task, _SCORING)
            if kind is not None or known not in _VECTORS:
                raise
            return await self._scores_of(known, request, task, pairs)

    async def _kind(self, task: str) -> str | None:
        return (await self._service.task(task)).kind

    async def _scores_of(
        self, kind: str | None, request: Request, task: str, pairs: Pairs
    ) -> tuple[list[list[float]], Answer]:
        first, second = ("query", "texts")
        if kind in _VECTORS:
            first, second = ("source_sentence", "sentences")
        items = [{first: query, second: texts} for query, texts in pairs]
        answer = await self._answer(request, task, items, {}, is_list=len(items) > 1)
        if answer.kind in _VECTORS:
            return [list(scores) for scores in answer.outputs], answer
        refuse_others(answer.kind, task, _SCORING)
        by_place = [sorted(ranks, key=lambda rank: rank.index) for ranks in answer.outputs]
        return [[rank.score for rank in ranks] for ranks in by_place], answer

    async def _labels(self, task: str, answer: Answer) -> Sequence[str]:
        """The labels of the version that answered, in their order."""
        try:
            versions = (await self._service.task(task)).versions
        except UnknownTask:  # deleted since
            return ()
        return next((each.labels for each in versions if each.id == answer.version), ())


def _response(name: str, task: str, answer: Answer, content: dict[str, Any]) -> Response:
    envelope = {
        "id": f"{name}-{request_id_var.get()}",
        "created": int(time.time()),
        "model": task,
        **content,
        "usage": usage(answer),
    }
    return json_response(envelope, headers=answer_headers(answer))
