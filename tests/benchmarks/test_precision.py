"""Float32 products have the requested precision by both of torch's interfaces, and the former one afterwards."""

from types import SimpleNamespace

import pytest
import torch

from seqsum.benchmarks.precision import float32_products

NEW = hasattr(torch.backends.cuda.matmul, "fp32_precision")  # from torch 2.9 on
SWITCHES = {
    "matmul": lambda: torch.backends.cuda.matmul,
    "rnn": lambda: torch.backends.cudnn.rnn,
    "conv": lambda: torch.backends.cudnn.conv,
}


def old():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def new():
    return [switch().fp32_precision for switch in SWITCHES.values()] if NEW else []


@pytest.mark.parametrize(("precision", "allowed"), [("ieee", False), ("tf32", True)])
def test_both_interfaces_tell_the_precision_in_the_block_and_what_was_before_after_it(precision, allowed):
    before = old(), new()
    with float32_products(precision):
        assert old() == (allowed, allowed)
        assert new() == [precision] * (3 if NEW else 0)
    assert (old(), new()) == before


def test_it_is_set_back_after_an_error():
    before = old(), new()
    with pytest.raises(ZeroDivisionError), float32_products("tf32"):
        raise ZeroDivisionError
    assert (old(), new()) == before


@pytest.mark.skipif(not NEW, reason="there is one interface alone before torch 2.9")
@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_that_the_user_set_by_the_new_interface_is_kept(name):
    """If the two interfaces disagree, torch refuses to read the old flag."""
    switch = SWITCHES[name]()
    before, turned = switch.fp32_precision, "ieee" if switch.fp32_precision == "tf32" else "tf32"
    try:
        switch.fp32_precision = turned
        with float32_products("ieee"):
            assert old() == (False, False)
        assert switch.fp32_precision == turned
    finally:
        switch.fp32_precision = before
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True  # torch's defaults


def test_before_torch_2_9_there_is_one_interface(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(allow_tf32=False))
    with float32_products("tf32"):
        assert old() == (True, True)
    assert old() == (False, True)


def test_an_unknown_precision_is_refused():
    with (
        pytest.raises(ValueError, match=r"`precision` \(='high'\) must be one of 'ieee', 'tf32'"),
        float32_products("high"),
    ):
        pass
