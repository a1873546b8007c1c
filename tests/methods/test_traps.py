"""The numeric traps of AdapterHub's methods, each by its number in the list of traps."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch import nn

from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.checkpoint.reader import examine_adapter, read_adapter
from adapter_runtime.methods.bottleneck import BottleneckSettings
from adapter_runtime.methods.compacter_files import fold
from adapter_runtime.methods.dora import DoraSettings
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.methods.reft import edited
from adapter_runtime.methods.reft_files import orthogonal
from adapter_runtime.methods.table import METHODS
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Part, PlugPoint, Site
from tests.goldens import replay
from tests.goldens.filling import draw, fill_backbone

WIDTH, TOKENS = 32, 5
FFN, QUERY = PlugPoint(0, Site.FFN), PlugPoint(0, Site.QUERY)
ROW = RowSpans((0,), (TOKENS,), TOKENS)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def folder(name, backbone="bert"):
    return Folder(replay.checkpoints("hub_methods", backbone) / name, name)


def read(name, backbone="bert", **options):
    return read_adapter(folder(name, backbone), replay.engine(backbone).backbone.facts, options)


def block(settings, **more):
    """A bottleneck Part with random weights."""
    shapes = {"down_weight": (8, WIDTH), "down_bias": (8,), "up_weight": (WIDTH, 8)}
    tensors = {name: draw(name, shape, 0.3) for name, shape in shapes.items()}
    return Part(
        "bottleneck", FFN, settings, tensors | {"up_bias": draw("up", (WIDTH,), 0.3)} | more
    )


def run(part, h, inp, norm):
    method = METHODS[part.method]
    made = method.apply(part, method.enter(part, h, inp, norm), ROW).h
    return method.finish(part, made, inp, norm, h)


def states(name):
    return draw(name, (TOKENS, WIDTH), 1.0)


def bare(part, z):
    """The block alone, without any residual."""
    hidden = torch.relu(z @ part.tensors["down_weight"].t() + part.tensors["down_bias"])
    return hidden @ part.tensors["up_weight"].t() + part.tensors["up_bias"]


def backbone_norm():
    return fill_backbone(nn.LayerNorm(WIDTH, eps=1e-12)).requires_grad_(False)


def test_t01_pfeiffers_residual_is_the_state_before_the_norm():
    """The block reads the normed state, its residual is the bare one, and the norm comes twice."""
    part = block(BottleneckSettings("relu", original_ln_before=True))
    h, inp, norm = states("h"), states("inp"), backbone_norm()
    expected = norm(bare(part, norm(h + inp)) + h + inp)
    torch.testing.assert_close(run(part, h, inp, norm), expected, **CLOSE)


@pytest.mark.parametrize("norm", (backbone_norm(), nn.Identity()), ids=["post-LN", "pre-LN"])
def test_t03_parallel_blocks_read_what_enters_the_sublayer(norm):
    """Not its output; where the norm comes first, the stream as it is."""
    part = block(BottleneckSettings("relu", is_parallel=True, original_ln_before=True))
    h, inp = states("h"), states("inp")
    expected = norm(h + bare(part, inp) + inp)
    torch.testing.assert_close(run(part, h, inp, norm), expected, **CLOSE)


def test_t04_inner_norms_have_their_own_epsilon():
    """1e-5, also in a backbone whose norms have 1e-12."""
    settings = BottleneckSettings("relu", ln_after=True, original_ln_after=False)
    ones = {"norm_after_weight": torch.ones(WIDTH), "norm_after_bias": torch.zeros(WIDTH)}
    part = block(settings, **ones)
    h, up = states("h"), 1e-3 * draw("small", (WIDTH,), 1.0)
    small = {**part.tensors, "up_weight": part.tensors["up_weight"] * 0, "up_bias": up}
    found = run(Part("bottleneck", FFN, settings, small), h, h, nn.Identity())
    centred = up - up.mean()
    expected = centred / torch.sqrt(centred.square().mean() + 1e-5) + h
    torch.testing.assert_close(found, expected, **CLOSE)


def test_t07_compacter_multiplies_without_the_transpose():
    """`x H`, with H the sum of Kronecker products, and the rule shared by all layers."""
    rule, core = draw("rule", (4, 4, 4), 0.3), draw("core", (4, 8, 2), 0.3)
    whole = sum(torch.kron(one, other) for one, other in zip(rule, core, strict=True))
    torch.testing.assert_close(fold(rule, core), whole, **CLOSE)
    stored = torch.load(folder("compacter").path("pytorch_adapter.bin"), weights_only=True)
    assert [name for name in stored if "phm_rule" in name] == [
        "bert.shared_parameters.compacter.phm_rule"
    ]
    part = next(part for part in read("compacter").parts if part.point == FFN)
    path = "bert.encoder.layer.0.output.adapters.compacter.adapter_down.0"
    core = stored[f"{path}.W_left"] @ stored[f"{path}.W_right"]
    rule = stored["bert.shared_parameters.compacter.phm_rule"]
    torch.testing.assert_close(part.tensors["down_weight"], fold(rule, core).t(), **CLOSE)


def test_t11_gated_lora_has_no_scale():
    """A gate stands in place of alpha / r."""
    gated = [part for part in read("unipelt_half").parts if part.method == "lora"]
    assert {part.settings.scale for part in gated} == {1.0}


def test_t13_dora_divides_by_the_unscaled_length_and_scales_the_bias():
    """What `adapters` means by it; PEFT means something else."""
    base = fill_backbone(nn.Linear(WIDTH, WIDTH)).requires_grad_(False)
    tensors = {"down": draw("down", (4, WIDTH), 0.3), "up": draw("up", (WIDTH, 4), 0.3)}
    tensors["magnitude"] = draw("m", (WIDTH,), 0.3, 1.0)
    change, x = tensors["up"] @ tensors["down"], states("x")
    length = torch.linalg.norm(base.weight + change, dim=1)
    hub = Part("dora", QUERY, DoraSettings(2.0), tensors)
    expected = tensors["magnitude"] / length * (base(x) + 2.0 * x @ change.t())
    method = METHODS["dora"]
    found = method.finish(hub, base(x), method.step(hub, x, None, ROW), base)
    torch.testing.assert_close(found, expected, **CLOSE)
    theirs = DoraSettings(2.0, is_norm_scaled=True, is_bias_scaled=False)
    peft = Part("dora", QUERY, theirs, tensors)
    length = torch.linalg.norm(base.weight + 2.0 * change, dim=1)
    expected = tensors["magnitude"] / length * (x @ (base.weight + 2.0 * change).t()) + base.bias
    found = method.finish(peft, base(x), method.step(peft, x, None, ROW), base)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_t17_a_direft_file_is_noreft_unless_the_user_knows():
    """No key says it; the note says what to do, and the option makes another adapter of it."""
    plain, told = read("direft"), read("direft", reft_subtract_projection=False)
    assert {part.settings.subtracts for part in plain.parts} == {True}
    assert {part.settings.subtracts for part in told.parts} == {False}
    assert [note.code for note in plain.notes] == ["reft_projection"]
    assert "reft_subtract_projection: false" in plain.notes[0].message
    assert plain.digest != told.digest


def test_t17_orthogonal_projections_are_computed_from_what_is_stored():
    """Neither of the two stored matrices is the projection; its rows are orthonormal."""
    stored = torch.load(folder("loreft").path("pytorch_adapter.bin"), weights_only=True)
    below = "bert.encoder.layer.0.reft_layer.refts.loreft.units.0.projection.parametrizations"
    original, base = stored[f"{below}.weight.original"], stored[f"{below}.weight.0.base"]
    projection = orthogonal(original, base)
    torch.testing.assert_close(projection @ projection.t(), torch.eye(len(original)), **CLOSE)
    assert (projection - original).abs().max() > 0.1
    part = next(part for part in read("loreft").parts if part.point.layer == 0)
    torch.testing.assert_close(part.tensors["projection_0"], projection, **CLOSE)


def test_reading_a_projection_draws_no_random_numbers():
    """Whoever seeded the generator gets the numbers that he would have got."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    read("loreft_square")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("length", "prefix", "suffix", "units"),
    (
        (9, 2, 1, (((0, 0), (1, 1)), ((8, 8),))),
        (3, 2, 2, (((0, 0),), ((1, 1), (2, 2)))),
        (1, 3, 0, (((0, 0),), ())),
        (2, 0, 5, ((), ((0, 0), (1, 1)))),
        # The library lays out the results of both ends from the row's start.
        (2, 1, 2, ((), ((0, 0), (1, 1)))),
        (2, 3, 3, (((1, 0),), ((0, 1),))),
    ),
)
def test_where_edits_of_short_rows_go(length, prefix, suffix, units):
    """The suffix wins where both ends meet; a row shorter than the suffix is the library's."""
    assert edited((0,), (length,), prefix, suffix) == units


def test_where_edits_go_behind_a_prompt():
    """The library takes a row's length before its prompt, and its end from the row's start."""
    assert edited((10,), (9,), 2, 1, 3) == (((10, 10), (11, 11)), ((15, 15),))
    assert edited((0,), (6,), 4, 1, 4) == (((0, 0), (2, 2), (3, 3)), ((1, 1),))


def test_t23_no_tensor_is_missed_and_none_is_left(tmp_path):
    """What the library logs and forgets is a reason to refuse."""
    shutil.copytree(folder("dora").root, tmp_path / "dora")
    path = tmp_path / "dora" / "pytorch_adapter.bin"
    stored = torch.load(path, weights_only=True)
    lost = next(name for name in stored if name.endswith("m.weight"))
    stored[lost.replace("m.weight", "n.weight")] = stored.pop(lost)
    torch.save(stored, path)
    facts = replay.engine("bert").backbone.facts
    found = examine_adapter(Folder(tmp_path / "dora", "dora"), facts, {})
    assert [note.code for note in found.problems] == ["missing_tensor", "unexpected_tensor"]
    assert found.adapter is None


def test_merged_dora_is_lora_as_its_library_runs_it():
    """The lengths are in the file, nothing reads them, and a note says so."""
    adapter = read("dora_ignored", "gpt2")
    assert adapter.methods == ("lora",)
    assert [note.code for note in adapter.notes] == ["dora_ignored"]
    assert isinstance(adapter.parts[0].settings, LoraSettings)


@pytest.mark.parametrize("backbone", ("modernbert",))
def test_hooked_models_close_their_sublayers_themselves(backbone, tmp_path):
    """`original_ln_after` must be true in the file, and the block leaves it to the model."""
    root = replay.checkpoints("encoders", backbone) / "seq_bn"
    facts = replay.engine(backbone).backbone.facts
    adapter = read_adapter(Folder(root, "seq_bn"), facts, {})
    assert {part.settings.original_ln_after for part in adapter.parts} == {False}
    shutil.copytree(root, tmp_path / "copy")
    path = tmp_path / "copy" / "adapter_config.json"
    config = json.loads(path.read_text())
    config["config"]["original_ln_after"] = False
    path.write_text(json.dumps(config))
    problems = examine_adapter(Folder(tmp_path / "copy", "copy"), facts, {}).problems
    assert problems[0].code == "unsupported_point"
