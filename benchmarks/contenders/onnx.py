"""ONNX Runtime and OpenVINO with one static model and length buckets: no adapters at all."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from benchmarks.contenders.worker import Job, Run, buckets, padded, work

Forward = Callable[[dict[str, Any]], Any]
NAMES = ("input_ids", "attention_mask")


def exported(job: Job) -> Path:
    """The model as an ONNX file, made on first use beside this environment."""
    model_path = Path(job["model"])
    digest = hashlib.sha256((model_path / "config.json").read_bytes() + str(model_path).encode())
    target = Path(sys.prefix) / "exported" / digest.hexdigest()[:16] / "model.onnx"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        model = AutoModel.from_pretrained(
            model_path, add_pooling_layer=False, attn_implementation="eager"
        ).eval()
        ids = torch.randint(1000, 2000, (2, 8))
        mask = torch.ones_like(ids)
        mask[1, 5:] = 0  # a mask of ones alone would be traced as none
        batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=2, max=510)
        program = torch.onnx.export(
            Wrapped(model).eval(),
            (ids, mask),
            dynamo=True,
            input_names=list(NAMES),
            output_names=["states"],
            dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
        )
        program.save(target.with_suffix(".part"))
        target.with_suffix(".part").rename(target)
    return target


class Wrapped(torch.nn.Module):
    """A model whose output is its final states alone."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The final states."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]


def onnxruntime(job: Job) -> Forward:
    """A session with all of its graph optimisations."""
    import onnxruntime as ort
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    plain = exported(job)
    path = plain.with_name("optimised.onnx")
    if not path.exists():
        config = AutoModel.from_pretrained(job["model"]).config
        made = optimizer.optimize_model(
            str(plain), "bert", num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size, opt_level=1,
        )  # fmt: skip
        made.save_model_to_file(str(path))
    if job["dtype"] == "int8":
        whole = plain.with_name("int8.onnx")
        if not whole.exists():
            quantize_dynamic(path, whole, per_channel=True, weight_type=QuantType.QInt8)
        path = whole
    options = ort.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    # Its threads wait as they do by themselves, but not beyond the run: others have their turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0]


def openvino(job: Job) -> Forward:
    """A compiled model; in int8 by NNCF, calibrated on the rows that it is measured on."""
    import openvino as ov

    model = ov.Core().read_model(exported(job))
    if job["dtype"] == "int8":
        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)
        model = nncf.quantize(
            model, nncf.Dataset(batches(job)), model_type=nncf.ModelType.TRANSFORMER
        )
    hint = {"bfloat16": "bf16"}.get(job["dtype"], "f32")
    settings = {
        "INFERENCE_NUM_THREADS": job["threads"],
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = ov.Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda inputs: request.infer(inputs)[0]


def batches(job: Job) -> list[dict[str, Any]]:
    """The rows in buckets of like lengths, padded."""
    groups = buckets([len(row) for row in job["rows"]], job["buckets"])
    found = (padded([job["rows"][number] for number in group]) for group in groups)
    return [dict(zip(NAMES, map(np.array, pair), strict=True)) for pair in found]


def prepare(job: Job) -> Run:
    """The job's engine and its padded buckets."""
    forward = {"onnxruntime": onnxruntime, "openvino": openvino}[job["engine"]](job)
    inputs = batches(job)
    groups = buckets([len(row) for row in job["rows"]], job["buckets"])

    def run(is_shown: bool) -> list[list[float]] | None:
        """Every bucket once."""
        outputs = [np.asarray(forward(each)) for each in inputs]
        if not is_shown:
            return None
        means: dict[int, list[float]] = {}
        for group, states in zip(groups, outputs, strict=True):
            for place, number in enumerate(group):
                length = len(job["rows"][number])
                means[number] = states[place, :length].mean(0).tolist()
        return [means[number] for number in range(len(means))]

    return run


if __name__ == "__main__":
    work(prepare)
