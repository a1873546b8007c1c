"""Makes `sets/seq2seq`: encoder-decoders under the `adapters` library and under PEFT.

Run from the repository root in the generators' environment:
`PYTHONHASHSEED=0 python -m tests.goldens.make_seq2seq`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import adapters
import numpy as np
import peft
import torch
import transformers
from adapters.composition import Average, Fuse, Stack

from tests.goldens import seq2seq_cases as wanted
from tests.goldens.filling import draw, fill_backbone
from tests.goldens.models import MODELS, rows
from tests.goldens.recording import Recording

STD = 0.3
STEPS = 32
ADAPTERS = f"adapters {adapters.__version__}"
PEFT = f"peft {peft.__version__}"


def refill(model: Any, case: str, names: Sequence[str], std: float = STD) -> None:
    """Fill an adapter's parameters from its case's and their names; multipliers lie around 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not any(part in name for part in names) or "parametrizations" in name:
                continue
            is_factor = "norm" in name or "ia3" in f"{case} {name}" or name.endswith("m.weight")
            mean = 1.0 if is_factor and not name.endswith("bias") else 0.0
            values = draw(f"{case} {name}", tuple(parameter.shape), std, mean)
            # Few digits, so that the archives stay small.
            parameter.copy_((values * STEPS).round() / STEPS)


def configuration(backbone: str, **options: Any) -> Any:
    """A backbone's configuration."""
    model = MODELS[backbone]
    return transformers.AutoConfig.for_model(model.model_type, **model.config, **options)


@torch.no_grad()
def each(run: Callable[..., Any], backbone: str) -> list[Any]:
    """What a model answers for each row alone."""
    return [run(input_ids=torch.tensor([row.input_ids])) for row in rows(backbone)]


def hidden(model: Any, backbone: str) -> dict[str, list[np.ndarray]]:
    """The decoder's last states; the input of a bare T5 is shifted by its caller."""

    def run(input_ids: torch.Tensor) -> np.ndarray:
        output = model(input_ids=input_ids, **shifted(model, backbone, input_ids))
        return output["last_hidden_state"][0].numpy()

    return {"hidden": each(run, backbone)}


def answers(model: Any, backbone: str) -> dict[str, list[np.ndarray]]:
    """A head's logits, as `--raw` names them."""

    def run(input_ids: torch.Tensor) -> Any:
        return model(input_ids=input_ids, **shifted(model, backbone, input_ids))

    outputs = each(run, backbone)
    if "start_logits" in outputs[0]:
        return {
            side: [output[f"{side}_logits"][0].numpy() for output in outputs]
            for side in ("start", "end")
        }
    return {"logits": [output["logits"][0].numpy() for output in outputs]}


def shifted(model: Any, backbone: str, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What T5 must be told; the others shift their input themselves."""
    return {"decoder_input_ids": model._shift_right(input_ids)} if "t5" in backbone else {}


def flex_model(backbone: str) -> Any:
    """A filled flexible model of the `adapters` library."""
    torch.manual_seed(0)  # orthogonal weights are left as they are drawn
    model = adapters.AutoAdapterModel.from_config(configuration(backbone))
    fill_backbone(model.base_model)
    return model.eval()


def adapter_cases(made: Recording, backbone: str, cases: dict[str, str]) -> None:
    """Single adapters, with hidden states as the answer."""
    for name, config in cases.items():
        model = flex_model(backbone)
        model.add_adapter(name, config=config)
        refill(model, name, [f".{name}."])
        model.set_active_adapters(name)
        model.save_adapter(str(made.folder(backbone, name)), name, with_head=False)
        expected = hidden(model.base_model, backbone)
        task = {"adapter": name}
        made.add(backbone, name, task, expected, method=wanted.word(name), library=ADAPTERS)


def bare_cases(made: Recording, backbone: str) -> None:
    """The plain model."""
    model = transformers.AutoModel.from_config(configuration(backbone))
    fill_backbone(model)
    adapters.init(model)
    made.add(backbone, "bare", {}, hidden(model.eval(), backbone), library="transformers")


def stack_cases(made: Recording, backbone: str) -> None:
    """A language adapter under a task adapter."""
    model, folders = flex_model(backbone), ["seq_bn_inv", "cross_seq_bn"]
    for name in folders:
        model.add_adapter(name, config=wanted.CORE[name])
        refill(model, name, [f".{name}."])
    model.set_active_adapters(Stack(*folders))
    expected = hidden(model.base_model, backbone)
    task = {"adapter": {"stack": folders}}
    made.add(backbone, "stack", task, expected, method="Stack", library=ADAPTERS)


def composition_cases(made: Recording, backbone: str) -> None:
    """Two adapters side by side, in cross attention too."""
    names = ("left", "right")
    fused = {"fuse": list(names), "fusion": "fusion"}
    averaged = {"average": list(names), "weights": [0.3, 0.7]}
    model = flex_model(backbone)
    for name in names:
        model.add_adapter(name, config=f"{wanted.CROSS},original_ln_before=True]")
        refill(model, name, [f".{name}."])
        model.save_adapter(str(made.folder(backbone, name)), name, with_head=False)
    model.add_adapter_fusion(list(names))
    refill(model, "fusion", ["adapter_fusion_layer"], std=0.1)
    model.save_adapter_fusion(str(made.folder(backbone, "fusion")), ",".join(names))
    trees = {
        "AdapterFusion": (fused, Fuse(*names)),
        "Average": (averaged, Average(*names, weights=[0.3, 0.7])),
    }
    for method, (task, tree) in trees.items():
        model.set_active_adapters(tree)
        expected = hidden(model.base_model, backbone)
        made.add(backbone, method, {"adapter": task}, expected, method=method, library=ADAPTERS)


def flex_cases(made: Recording, backbone: str) -> None:
    """Flexible heads, over an adapter with an invertible block."""
    for kind, options in wanted.FLEX.items():
        model, name = flex_model(backbone), f"flex_{kind}"
        model.add_adapter(name, config="seq_bn_inv[reduction_factor=8]")
        getattr(model, f"add_{wanted.MAKERS.get(kind, kind)}_head")(name, **options)
        refill(model, name, [f".{name}."])
        model.set_active_adapters(name)
        model.save_adapter(str(made.folder(backbone, name)), name, with_head=True)
        task = {"adapter": name, "head": name}
        expected, words = answers(model, backbone), {"method": "invertible", "head": kind}
        made.add(backbone, name, task, expected, **words, library=ADAPTERS)


def static_cases(made: Recording, backbone: str, classes: Sequence[str]) -> None:
    """Heads of Hugging Face classes, saved beside an adapter."""
    for suffix in classes:
        family, name = wanted.FAMILIES[backbone], f"static_{suffix.removeprefix('For')}"
        config = configuration(backbone)
        config.num_labels = 2 if "Answering" in suffix else 3
        model = getattr(transformers, family + suffix)(config)
        fill_base(model)
        adapters.init(model.eval())
        model.add_adapter(name, config="seq_bn[reduction_factor=8]")
        refill(model, name, [f".{name}.", "classification_head", "qa_outputs"])
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias = draw(name, model.final_logits_bias.shape, 1.0)
        model.set_active_adapters(name)
        model.save_adapter(str(made.folder(backbone, name)), name, with_head=True)
        task = {"adapter": name, "head": name}
        expected = answers(model, backbone)
        words = {"method": "bottleneck", "head": f"static {wanted.STATIC[suffix]}"}
        made.add(backbone, name, task, expected, **words, library=ADAPTERS)


def fill_base(model: Any) -> None:
    """Fill the backbone inside a task model, where it has one of its own or is spread out."""
    prefix = next((name for name in ("model", "transformer") if hasattr(model, name)), "")
    fill_backbone(model, prefix)


def peft_cases(made: Recording, backbone: str) -> None:
    """PEFT on the bare model and with an answering head."""
    query, value, out, feedforward = wanted.PEFT_NAMES[backbone]
    lora = {"r": 2, "lora_alpha": 3, "target_modules": [query, value]}
    chosen = {
        "peft_lora": peft.LoraConfig(**lora),
        "peft_all_linear": peft.LoraConfig(**lora | {"target_modules": "all-linear"}),
        "peft_bias_all": peft.LoraConfig(**lora, bias="all"),
        "peft_dora": peft.LoraConfig(**lora | {"target_modules": [value, out]}, use_dora=True),
        "peft_ia3": peft.IA3Config(
            target_modules=[query, value, out], feedforward_modules=feedforward
        ),
    }
    for name, config in chosen.items():
        config.task_type = "FEATURE_EXTRACTION"
        base = transformers.AutoModel.from_config(configuration(backbone))
        fill_backbone(base)
        model = peft.get_peft_model(base.eval(), config).eval()
        names = ["lora_", "ia3_", *([".bias"] if name == "peft_bias_all" else [])]
        refill(model, name, names)
        save_peft(made.folder(backbone, name), model)
        expected = hidden(model.base_model.model, backbone)
        made.add(backbone, name, {"adapter": name}, expected, method=peft_word(name), library=PEFT)
    answering_case(made, backbone, lora)
    generation_case(made, backbone, "peft_generation", peft.LoraConfig(**lora))
    generation_case(made, backbone, "peft_prefix", peft.PrefixTuningConfig(num_virtual_tokens=3))


def generation_case(made: Recording, backbone: str, name: str, config: Any) -> None:
    """A generation class, whose vocabulary is the backbone's own; prefixes go to the decoder."""
    config.task_type = "SEQ_2_SEQ_LM"
    family = wanted.FAMILIES[backbone]
    model = getattr(transformers, f"{family}ForConditionalGeneration")(configuration(backbone))
    fill_base(model)
    model = peft.get_peft_model(model.eval(), config).eval()
    refill(model, name, ["lora_", "prompt_encoder"])
    save_peft(made.folder(backbone, name), model)
    words = {"method": peft_word(name), "head": "seq2seq_lm"}
    expected = answers(model, backbone)
    made.add(backbone, name, {"adapter": name}, expected, **words, library=PEFT)


def answering_case(made: Recording, backbone: str, lora: dict[str, Any]) -> None:
    """The one task type whose head PEFT saves for these models."""
    name = "peft_answering"
    base = getattr(transformers, f"{wanted.FAMILIES[backbone]}ForQuestionAnswering")
    model = base(configuration(backbone))
    fill_base(model)
    model = peft.get_peft_model(model.eval(), peft.LoraConfig(task_type="QUESTION_ANS", **lora))
    refill(model.eval(), name, ["lora_", "modules_to_save"])
    save_peft(made.folder(backbone, name), model)
    expected = answers(model.base_model.model, backbone)
    task = {"adapter": name, "head": name}
    words = {"method": "PEFT lora", "head": "question_answering"}
    made.add(backbone, name, task, expected, **words, library=PEFT)


def peft_word(case: str) -> str:
    """What the support table calls the method of a case."""
    kinds = {"peft_dora": "dora", "peft_ia3": "ia3", "peft_prefix": "prefix_tuning"}
    return f"PEFT {kinds.get(case, 'lora')}"


def save_peft(folder: Path, model: Any) -> None:
    """What PEFT writes, without its card."""
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink()


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    made = Recording("seq2seq")
    for backbone in wanted.FAMILIES:
        is_full = backbone in wanted.PEFT_NAMES
        bare_cases(made, backbone)
        adapter_cases(made, backbone, wanted.CORE | wanted.MORE if is_full else wanted.CORE)
        stack_cases(made, backbone)
        if is_full:
            composition_cases(made, backbone)
        flex_cases(made, backbone)
        static_cases(made, backbone, list(wanted.STATIC) if is_full else list(wanted.STATIC)[:1])
        if is_full:
            peft_cases(made, backbone)
    made.write()


if __name__ == "__main__":
    main()
