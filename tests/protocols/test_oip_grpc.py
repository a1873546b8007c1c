"""The Open Inference Protocol over gRPC, asked by Triton's client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
import trustme
from tritonclient.grpc import service_pb2 as wire
from tritonclient.utils import InferenceServerException

from adapter_runtime import RejectedAdapter, SettingsError
from serving.errors import DeadlineExceeded, Overloaded
from serving.grpc_port import check_grpc
from serving.protocols.oip_grpc.door import GrpcDoor
from serving.service import Answer, Call
from serving.settings import load_settings
from tests.commands.started import started_server
from tests.protocols.conftest import Api
from tests.protocols.fake_service import REASONS
from tests.running import free_port
from tests.tenancy.conftest import Keys

CALL = "/inference.GRPCInferenceService/"


@dataclass
class Called:
    """A door that is open, and clients of it."""

    api: Api
    address: str
    client: triton.InferenceServerClient

    async def raw(self, method: str, request: Any, **options: Any) -> Any:
        """One call with a message of one's own."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            response = getattr(wire, f"{method}Response").FromString
            ask = channel.unary_unary(CALL + method, type(request).SerializeToString, response)
            return await ask(request, **options)


@pytest.fixture
async def called() -> AsyncIterator[Called]:
    api = Api()
    async for each in opened(api, load_settings(grpc_port=0, max_body_bytes=4096)):
        yield each


async def opened(api: Any, settings: Any) -> AsyncIterator[Called]:
    """A door before an application for the block."""
    door = GrpcDoor(api.app, settings)
    await door.start()
    address = f"127.0.0.1:{door.port}"
    async with triton.InferenceServerClient(address) as client:
        yield Called(api, address, client)
    await door.stop(0)


def texts(*given: str) -> list[triton.InferInput]:
    """An input tensor as a user of the client makes it."""
    tensor = triton.InferInput("text", [len(given)], "BYTES")
    return [tensor.set_data_from_numpy(np.array(given, dtype=np.object_))]


async def test_texts_in_and_numbers_out(called: Called) -> None:
    """Ids, versions and requested outputs as over REST."""
    wanted = [triton.InferRequestedOutput("score"), triton.InferRequestedOutput("label")]
    result = await called.client.infer(
        "topic", texts("a", "ü"), model_version="1", outputs=wanted, request_id="mine"
    )
    assert result.as_numpy("score").tolist() == [1.0, 1.0]
    assert result.as_numpy("label").tolist() == [b"yes", b"yes"]
    response = result.get_response()
    assert (response.id, response.model_version) == ("mine", "1")
    assert len(response.outputs) == 2


async def test_texts_may_stand_in_the_message_too(called: Called) -> None:
    """KServe's clients send them so."""
    request = wire.ModelInferRequest(model_name="topic")
    request.parameters["top_k"].int64_param = 1
    tensor = request.inputs.add(name="text", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"a")
    response = await called.raw("ModelInfer", request)
    assert {each.name for each in response.outputs} >= {"label", "score", "json"}


async def test_health_and_metadata(called: Called) -> None:
    """What REST says, in messages."""
    client = called.client
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("topic")
    assert not await client.is_model_ready("topic", "2")
    assert not await client.is_model_ready("nothing")
    assert (await client.get_server_metadata()).name == "polyhead"
    metadata = await client.get_model_metadata("topic")
    assert metadata.inputs[0].name == "text"
    assert list(metadata.inputs[0].shape) == [-1]
    with pytest.raises(InferenceServerException, match="nothing"):
        await client.get_model_metadata("nothing")
    called.api.service.is_warm = False
    assert not await client.is_server_ready()


async def test_models_are_listed_loaded_and_unloaded(called: Called) -> None:
    """Load is preload, unload is evict."""
    index = await called.client.get_model_repository_index()
    assert [each.name for each in index.models] == ["topic", "new"]
    await called.client.load_model("topic")
    await called.client.unload_model("topic")
    assert [each[0] for each in called.api.service.calls] == ["preload", "evict"]


ERRORS = (
    (Overloaded("Full.", 2.0), "RESOURCE_EXHAUSTED"),
    (DeadlineExceeded("Late."), "DEADLINE_EXCEEDED"),
    (RejectedAdapter("topic", REASONS), "FAILED_PRECONDITION"),
    (ZeroDivisionError("secret"), "INTERNAL"),
)


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda one: str(one)[:9])
async def test_errors_are_codes_of_grpc(called: Called, error: Exception, code: str) -> None:
    """With the sentence that REST says, and nothing of the inside."""
    called.api.service.raises = error
    with pytest.raises(InferenceServerException) as caught:
        await called.client.infer("topic", texts("a"))
    assert caught.value.status() == f"StatusCode.{code}"
    assert caught.value.message()
    assert "secret" not in caught.value.message()


WRONG = (
    ({"model_name": ""}, "NOT_FOUND"),
    ({"model_name": "topic/versions/1"}, "NOT_FOUND"),
    ({"model_name": "topic", "model_version": "../1"}, "NOT_FOUND"),
    ({"raw_input_contents": [b"\xff\xff\xff\xff"]}, "INVALID_ARGUMENT"),
    ({"raw_input_contents": [b"", b""]}, "INVALID_ARGUMENT"),
    ({"raw_input_contents": [b"\x02\x00\x00\x00\xff\xff"]}, "INVALID_ARGUMENT"),
    ({"inputs": []}, "INVALID_ARGUMENT"),
    ({"raw_input_contents": [b"\x00" * 5000]}, "RESOURCE_EXHAUSTED"),
    ({"raw_input_contents": [b"\x00" * 200_000]}, "RESOURCE_EXHAUSTED"),
)


@pytest.mark.parametrize(("changed", "code"), WRONG, ids=lambda one: str(one)[:40])
async def test_wrong_requests_are_the_clients_error(changed: dict[str, Any], code: str) -> None:
    """Never INTERNAL."""
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1]}
    fields = {"model_name": "topic", "inputs": [tensor], **changed}
    settings = {"grpc_port": 0, "max_body_bytes": 4096}
    async for called in opened(Api(max_body_bytes=4096), load_settings(**settings)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await called.raw("ModelInfer", wire.ModelInferRequest(**fields))
        assert caught.value.code() == grpc.StatusCode[code]


async def test_who_leaves_or_has_no_time_is_not_computed_for(
    called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its patience is the Call's deadline, and its end the Call's."""
    heard: list[Call] = []
    ended = asyncio.Event()

    async def hang(call: Call) -> Answer:
        heard.append(call)
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    monkeypatch.setattr(called.api.service, "answer", hang)
    asking = asyncio.ensure_future(called.client.infer("topic", texts("a"), client_timeout=20.0))
    while not heard:
        await asyncio.sleep(0)
    assert 10 < heard[0].deadline_s <= 20.5  # gRPC rounds up what it sends, to tenths
    asking.cancel()
    await asyncio.wait_for(ended.wait(), 20)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_keys_are_shown_in_metadata(tmp_path: Path) -> None:
    """The same keys, actions and tasks as over HTTP."""
    keys = Keys(tmp_path / "keys.yaml")
    keys.add("topics", tasks=["topic"])
    api = Api(keys=str(keys.path))
    shown = {"x-api-key": keys.secrets["topics"]}
    async for called in opened(api, load_settings(grpc_port=0)):
        assert await called.client.is_server_live()
        assert await called.client.infer("topic", texts("a"), headers=shown)
        for ask, code in (
            (called.client.infer("topic", texts("a")), "UNAUTHENTICATED"),
            (called.client.infer("new", texts("a"), headers=shown), "PERMISSION_DENIED"),
            (called.client.load_model("topic", headers=shown), "PERMISSION_DENIED"),
        ):
            with pytest.raises(InferenceServerException) as caught:
                await ask
            assert caught.value.status() == f"StatusCode.{code}"


async def test_settings_certificate_is_the_doors_too(tmp_path: Path) -> None:
    """Who trusts its authority is answered; a key with a password is told before the start."""
    issuer, file = trustme.CA(), tmp_path / "all.pem"
    issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(file)
    settings = load_settings(grpc_port=0, ssl_certfile=str(file))
    trust = grpc.ssl_channel_credentials(issuer.cert_pem.bytes())
    async for called in opened(Api(), settings):
        async with triton.InferenceServerClient(called.address, ssl=True, creds=trust) as client:
            assert await client.is_server_live()
    locked = settings.model_copy(update={"ssl_keyfile_password": "x"})
    with pytest.raises(SettingsError, match="password"):
        check_grpc(locked)


async def test_door_stops_with_the_server(tmp_path: Path) -> None:
    """Its place is in the banner; a client who stays connected holds nothing up."""
    port = free_port()
    with started_server(tmp_path, {"POLYHEAD_GRPC_PORT": str(port)}) as server:
        assert f"gRPC on 127.0.0.1:{port}" in (tmp_path / "log").read_text()
        async with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            assert await client.is_server_ready()
            server.process.terminate()
            assert await asyncio.to_thread(server.process.wait, 20) == 0
            with pytest.raises(InferenceServerException):
                await client.is_server_live()


async def test_missing_library_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not ask for gRPC needs none of it."""
    monkeypatch.delitem(sys.modules, "serving.protocols.oip_grpc.door")
    monkeypatch.setitem(sys.modules, "grpc", None)
    check_grpc(load_settings())
    with pytest.raises(SettingsError, match=r"polyhead\[grpc\]"):
        check_grpc(load_settings(grpc_port=0))


async def test_taken_port_is_told(called: Called) -> None:
    """Before anything slow, with the option to change."""
    taken = load_settings(grpc_port=int(called.address.rpartition(":")[2]))
    with pytest.raises(SettingsError, match="--grpc-port"):
        check_grpc(taken)
