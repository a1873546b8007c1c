import torch
from torch import nn
from torch.nn import functional
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from adapter_runtime.backbone.linears import FusedLinear, fuse, gelu_form

TOLERANCE = 5e-6  # fp32; oneDNN approximates erf to 1e-6


def make_linear():
    """A frozen linear with a bias."""
    torch.manual_seed(0)
    return nn.Linear(24, 40).requires_grad_(False)


def test_a_fused_linear_equals_the_plain_one():
    """Bias and GELU inside the product change nothing but the last digits."""
    base, x = make_linear(), torch.randn(2, 7, 24)
    fused = FusedLinear(base)
    with torch.inference_mode():
        assert torch.allclose(base(x), fused(x), atol=TOLERANCE, rtol=0)
        assert torch.allclose(functional.gelu(base(x)), fused.gelu(x), atol=TOLERANCE, rtol=0)
        tanh = functional.gelu(base(x), approximate="tanh")
        assert torch.allclose(tanh, fused.gelu(x, "tanh"), atol=TOLERANCE, rtol=0)


def test_a_fused_linear_in_bfloat16_rounds_once():
    """Bias and GELU are added before the result is rounded, so it is nearer to float32."""
    base, x = make_linear().to(torch.bfloat16), torch.randn(2, 7, 24).to(torch.bfloat16)
    exact = functional.gelu(base.float()(x.float()))
    fused = FusedLinear(base.to(torch.bfloat16))
    with torch.inference_mode():
        found = fused.gelu(x)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(exact, found.float(), atol=1e-3, rtol=2**-8)


def test_a_linear_stored_the_other_way_round_is_fused_as_a_linear():
    """GPT-2's weights are `(in, out)`; fused they read `(out, in)` without a copy."""
    torch.manual_seed(0)
    base, x = Conv1D(40, 24).requires_grad_(False), torch.randn(2, 7, 24)
    fused = fuse(base)
    assert fused.weight.shape == (40, 24)
    assert fused.weight.data_ptr() == base.weight.data_ptr()
    with torch.inference_mode():
        assert torch.allclose(base(x), fused(x), atol=TOLERANCE, rtol=0)


def test_gradients_flow_through_a_fused_linear_outside_inference_mode():
    """The reference path stays differentiable."""
    base, x = make_linear(), torch.randn(3, 24, requires_grad=True)
    fused = FusedLinear(base)
    (fused(x).sum() + fused.gelu(x).sum()).backward()
    assert x.grad.abs().sum() > 0


def test_fusing_keeps_the_parameters_and_leaves_other_modules_alone():
    """Weights stay the same objects; norms and linears of other dtypes are not touched."""
    base = make_linear()
    fused = fuse(base)
    assert fused.weight is base.weight
    assert fused.bias is base.bias
    for other in (nn.LayerNorm(4), make_linear().to(torch.float64)):
        assert fuse(other) is other


def test_only_gelu_in_its_two_forms_is_fused():
    """Other activations run after the product."""
    assert gelu_form(ACT2FN["gelu"]) == "none"
    assert gelu_form(ACT2FN["gelu_new"]) == gelu_form(ACT2FN["gelu_pytorch_tanh"]) == "tanh"
    assert not any(gelu_form(ACT2FN[name]) for name in ("relu", "gelu_python", "gelu_fast"))
