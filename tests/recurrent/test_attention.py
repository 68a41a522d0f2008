"""Attention as a cell: against the papers' equations in NumPy, and as any other cell in layers."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqsum
from seqsum import AttentionCell, GRUCell, LSTMCell, Recurrent, RecurrentCell, RNNCell, check_cell
from seqsum.recurrent import unroll
from seqsum.recurrent.cells import SourceAttention
from tests.covering import covering
from tests.recurrent.test_numpy_oracle import NumPyGRU, NumPyLSTM, NumPyRNN
from tests.recurrent.test_recurrent import MinimalGatedUnit

ATTENTIONS = ("additive", "multiplicative", "none")
WRAPPED = (RNNCell, LSTMCell, GRUCell, MinimalGatedUnit)
ORACLES = {RNNCell: NumPyRNN, LSTMCell: NumPyLSTM, GRUCell: NumPyGRU}


class Case:
    """A layer around an AttentionCell, drawn at random in float64, with inputs and a source.

    Masked source steps hold NaN. Sometimes a row has no valid source step at all.
    """

    def __init__(self, attention, wrapped, seed=0, most=5, **options):
        chance = random.Random(f"{attention} {wrapped.__name__} {seed}")
        torch.manual_seed(chance.randrange(10**6))
        self.T, self.B, self.S, self.F, self.E, self.H = (chance.randint(1, most) for _ in range(6))
        size = {"attention_size": chance.randint(1, most)} if attention == "additive" and chance.random() < 0.7 else {}
        cell = wrapped(self.F + self.E, self.H, **options)
        self.cell = AttentionCell(cell, attention, source_size=self.E, **size).double()
        for parameter in self.cell.parameters():
            nn.init.normal_(parameter)
        self.layer = Recurrent(self.cell, backend="eager")
        self.inputs = torch.randn(self.T, self.B, self.F, dtype=torch.float64)
        self.mask = torch.rand(self.T, self.B) < 0.7
        self.source_mask = torch.rand(self.B, self.S) < 0.6
        if chance.random() < 0.7:
            self.source_mask[:, chance.randrange(self.S)] = True
        values = torch.randn(self.B, self.S, self.E, dtype=torch.float64)
        self.values = values.masked_fill(~self.source_mask.unsqueeze(-1), float("nan"))

    @property
    def constants(self):
        return self.values, self.source_mask

    def run(self, **options):
        """Outputs, final states and all gradients."""
        inputs, values = self.inputs.clone().requires_grad_(), self.values.clone().requires_grad_()
        outputs, final = self.layer(inputs, constants=(values, self.source_mask), **options)
        results = [outputs, *(final if isinstance(final, tuple) else (final,))]
        loss = sum((r * torch.arange(r.numel()).view_as(r)).sum() for r in results)
        wanted = [inputs, values, *self.cell.parameters()]
        return [*results, *torch.autograd.grad(loss, wanted, allow_unused=True)]


def numpy_weights(cell, hidden, values, valid):
    """The weights of one row, `(S,)`, by the papers' equations, over its valid source steps alone."""
    named = {name: p.detach().numpy() for name, p in cell.source_attention.scores.named_parameters()}
    weights = np.zeros(len(values))
    for s in np.flatnonzero(valid):
        if cell.attention == "additive":
            units = np.tanh(named["query.weight"] @ hidden + named["key.weight"] @ values[s])
            weights[s] = np.exp(named["score.weight"][0] @ units)
        elif cell.attention == "multiplicative":
            weights[s] = np.exp(hidden @ named["key.weight"] @ values[s] / np.sqrt(len(hidden)))
        else:
            weights[s] = 1
    return weights / weights.sum() if valid.any() else weights


def numpy_decoder(case):
    """Outputs `(T, B, H + E)` and weights `(T, B, S)`, one row and one step after another."""
    inner = case.cell.cell
    oracle = ORACLES[type(inner)](
        [getattr(inner, name).detach().numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    )
    values, valid, inputs = case.values.numpy(), case.source_mask.numpy(), case.inputs.numpy()
    outputs, shown = np.zeros((case.T, case.B, case.H + case.E)), np.zeros((case.T, case.B, case.S))
    for row in range(case.B):
        state = [np.zeros((1, case.H)) for _ in inner.state_size]
        for t in range(case.T):
            weights = numpy_weights(case.cell, state[0][0], values[row], valid[row])
            context = sum((weights[s] * values[row, s] for s in np.flatnonzero(valid[row])), np.zeros(case.E))
            output, state = oracle.forward(np.concatenate([inputs[t, row], context])[None, None], *state)
            outputs[t, row], shown[t, row] = np.concatenate([output[0, 0], context]), weights
    return outputs, shown


@pytest.mark.parametrize(("attention", "wrapped", "seed"), covering(ATTENTIONS, ORACLES, range(6)))
def test_outputs_and_weights_are_those_of_the_papers_equations(attention, wrapped, seed):
    case = Case(attention, wrapped, seed)
    with seqsum.trace(case.layer) as traced:
        outputs, _ = case.layer(case.inputs, constants=case.constants)
    expected, weights = numpy_decoder(case)
    np.testing.assert_allclose(outputs.detach().numpy(), expected, atol=1e-12, rtol=0)
    np.testing.assert_allclose(traced["attention_l0"].transpose(0, 1).numpy(), weights, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("attention", "wrapped"), covering(ATTENTIONS, WRAPPED))
def test_first_and_second_derivatives_match_finite_differences(attention, wrapped):
    case = Case(attention, wrapped, most=3)
    names = [name for name, _ in case.cell.named_parameters()]

    def function(inputs, values, *parameters):
        outputs, final = torch.func.functional_call(
            case.layer,
            {f"cells.0.{name}": parameter for name, parameter in zip(names, parameters, strict=True)},
            (inputs,),
            {"constants": (values, case.source_mask), "mask": case.mask},
        )
        return outputs, *(final if isinstance(final, tuple) else (final,))

    values = case.values.nan_to_num(0.3)  # differences of NaN would be NaN
    tensors = [case.inputs, values, *case.cell.parameters()]
    tensors = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    assert torch.autograd.gradcheck(function, tensors)
    assert torch.autograd.gradgradcheck(function, tensors, fast_mode=True)


@pytest.mark.parametrize(("attention", "wrapped", "seed"), covering(ATTENTIONS, WRAPPED, range(3)))
def test_what_masked_source_steps_hold_does_not_matter(attention, wrapped, seed):
    case = Case(attention, wrapped, seed)
    with_nan = case.run(mask=case.mask)
    assert all(result.isfinite().all() for result in with_nan)
    assert not with_nan[-len(list(case.cell.parameters())) - 1][~case.source_mask].any()  # the gradient of the values
    case.values = case.values.nan_to_num(7.0)
    torch.testing.assert_close(case.run(mask=case.mask), with_nan, rtol=0, atol=0)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_the_source_changes_nothing(attention):
    case = Case(attention, GRUCell, 1)
    before = case.run()
    case.values = torch.cat([case.values, torch.full((case.B, 3, case.E), float("nan"))], dim=1)
    case.source_mask = torch.cat([case.source_mask, torch.zeros(case.B, 3, dtype=torch.bool)], dim=1)
    after = case.run()
    gradient = len(before) - len(list(case.cell.parameters())) - 1
    after[gradient] = after[gradient][:, :-3]
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_row_without_a_source_has_a_context_of_zero_in_every_type(dtype):
    torch.manual_seed(0)
    layer = Recurrent(AttentionCell(GRUCell(5, 4), source_size=3).to(dtype), batch_first=True, backend="eager")
    values, mask = torch.randn(2, 6, 3, dtype=dtype), torch.tensor([[True, False] * 3, [False] * 6])
    with seqsum.trace(layer) as traced:
        outputs, _ = layer(torch.randn(2, 4, 2, dtype=dtype), constants=(values, mask))
    assert outputs[0, :, -3:].abs().min() > 0
    assert torch.equal(outputs[1, :, -3:], torch.zeros(4, 3, dtype=dtype))
    assert torch.equal(traced["attention_l0"][0] > 0, mask[0].expand(4, 6))
    assert not traced["attention_l0"][1].any()


def test_and_in_float16_also_where_scores_are_large():
    cell = AttentionCell(GRUCell(5, 64), source_size=3).half()
    with torch.no_grad():
        cell.source_attention.scores.score.weight.fill_(-1)
        cell.source_attention.scores.query.weight.fill_(1)  # all scores are about -64
    values, mask = torch.randn(2, 6, 3).half(), torch.tensor([[True, False] * 3, [False] * 6])
    inputs, state = torch.randn(4, 2, 2).half(), torch.ones(1, 2, 64).half()
    outputs, _ = Recurrent(cell, backend="eager")(inputs, state, constants=(values, mask))
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert not outputs[:, 1, -3:].any()
    assert all(weight.grad.isfinite().all() for weight in cell.parameters())


@pytest.mark.parametrize("backend", ["script", "auto"])
@pytest.mark.parametrize(("attention", "wrapped", "dropout"), covering(ATTENTIONS, WRAPPED, (0.0, 0.5)))
def test_backends_give_the_same_numbers_and_gradients(attention, wrapped, dropout, backend):
    options = {"recurrent_dropout": dropout} if wrapped is not MinimalGatedUnit else {}
    case = Case(attention, wrapped, 3, **options)
    expected = case.run(mask=case.mask, generator=torch.Generator().manual_seed(0))
    case.layer.backend = backend
    actual = case.run(mask=case.mask, generator=torch.Generator().manual_seed(0))
    assert case.layer.last_backend == "script"
    torch.testing.assert_close(actual, expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # by torch.compile's own code
def test_the_compiled_step_does_too():
    case = Case("additive", GRUCell, 3)
    expected = case.run(mask=case.mask)
    case.layer.backend = "compile"
    try:
        torch.compile(torch.sin)(case.inputs)
    except torch._dynamo.exc.TorchDynamoException as error:
        pytest.skip(f"no compiler: {error}")
    torch.testing.assert_close(case.run(mask=case.mask), expected)


@pytest.mark.parametrize("kernel", ["bptt", "native", "triton"])
def test_the_kernels_of_the_wrapped_cell_refuse_it(kernel):
    case = Case("additive", GRUCell)
    case.layer.backend = kernel
    with pytest.raises(RuntimeError, match="can't run AttentionCell"):
        case.run()


@pytest.mark.parametrize(("attention", "wrapped", "seed"), covering(ATTENTIONS, WRAPPED, range(3)))
def test_single_steps_give_what_the_layer_gives(attention, wrapped, seed):
    case = Case(attention, wrapped, seed)
    outputs, final = case.layer(case.inputs, constants=case.constants)
    hidden, prepared = None, case.cell.initial_state(case.B, case.inputs) + case.cell.source(*case.constants)
    for t in range(case.T):
        hidden = case.cell(case.inputs[t], hidden, constants=case.constants)
        output, prepared = case.cell.step(case.cell.project(case.inputs[t]), prepared)
        torch.testing.assert_close(output, outputs[t])
    last = [state[0] for state in (final if isinstance(final, tuple) else (final,))]
    torch.testing.assert_close(list(hidden if isinstance(hidden, tuple) else (hidden,)), last)
    torch.testing.assert_close(prepared[:-3], last)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("make", [lambda: Own(5, 4), lambda: LSTMCell(5, 4), lambda: GRUCell(5, 4)])
def test_a_step_without_a_source_says_what_is_missing(attention, make):
    cell, inputs, values = AttentionCell(make(), attention, source_size=3), torch.randn(2, 2), torch.randn(2, 6, 3)
    state = cell.initial_state(2, inputs)
    scale = [torch.ones(2, 4)] if isinstance(cell.cell, Own) else []  # a constant of that cell's own
    for given in (state, state + scale, state + cell.source(values)[:2]):
        for method in (cell.step, cell.gates):
            with pytest.raises(ValueError, match=r"^`state` must end with what `source` makes .* \+ cell\.source\("):
                method(inputs, given)
    assert cell.step(inputs, state + scale + cell.source(values))[0].shape == (2, cell.output_size)


def test_without_a_mask_all_source_steps_are_valid():
    case = Case("additive", LSTMCell, 2)
    case.values, case.source_mask = case.values.nan_to_num(1.0), torch.ones(case.B, case.S, dtype=torch.bool)
    expected = case.run()
    case.source_mask = None
    torch.testing.assert_close(case.run(), expected)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_rows_of_a_packed_input_keep_their_source(attention):
    case = Case(attention, GRUCell, 4)
    lengths = torch.randint(1, case.T + 1, (case.B,))
    packed = pack_padded_sequence(case.inputs, lengths, enforce_sorted=False)
    outputs, final = case.layer(packed, constants=case.constants)
    padded, _ = pad_packed_sequence(outputs, total_length=case.T)
    torch.testing.assert_close((padded, final), case.layer(case.inputs, lengths=lengths, constants=case.constants))


@pytest.mark.parametrize("seed", range(4))
def test_each_layer_and_direction_attends_with_keys_of_its_own(seed):
    first = Case("additive", GRUCell, seed)
    layer = Recurrent(first.cell, num_layers=2, bidirectional=True, backend="eager").double()
    assert [cell.input_size for cell in layer.cells] == [first.F, first.F, *[2 * (first.H + first.E)] * 2]
    expected = first.inputs
    for below in (0, 2):
        forward, backward = (Recurrent(cell, backend="eager") for cell in layer.cells[below : below + 2])
        ahead, _ = forward(expected, constants=first.constants)
        behind, _ = backward(expected.flip(0), constants=first.constants)
        expected = torch.cat([ahead, behind.flip(0)], dim=-1)
    outputs, _ = layer(first.inputs, constants=first.constants)
    torch.testing.assert_close(outputs, expected)
    outputs.square().sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_trace_also_shows_the_gates_of_the_wrapped_cell(dropout):
    case = Case("multiplicative", LSTMCell, 5, recurrent_dropout=dropout)
    with seqsum.trace(case.layer) as traced:
        outputs, (hidden, cell_state) = case.layer(case.inputs, mask=case.mask, constants=case.constants)
    names = ("attention", *LSTMCell.gate_names, *LSTMCell.state_names)
    assert list(traced) == [f"{name}_l0" for name in names]
    gates = {name: traced[f"{name}_l0"].transpose(0, 1) for name in names}
    before = torch.cat([torch.zeros_like(gates["cell_state"][:1]), gates["cell_state"][:-1]])
    new = gates["forget_gate"] * before + gates["input_gate"] * gates["cell_update"]
    torch.testing.assert_close(gates["cell_state"], torch.where(case.mask.unsqueeze(-1), new, before))
    torch.testing.assert_close((gates["hidden"][-1], gates["cell_state"][-1]), (hidden[0], cell_state[0]))
    contexts = torch.einsum("tbs,bse->tbe", gates["attention"], case.values.nan_to_num(0.0))
    torch.testing.assert_close(outputs[..., -case.E :], contexts)


@pytest.mark.parametrize(("attention", "wrapped"), covering(ATTENTIONS, WRAPPED))
def test_copies_pickles_and_state_dicts(attention, wrapped):
    case = Case(attention, wrapped, 6)
    case.layer.backend = "auto"
    expected = case.run()
    names = list(case.layer.state_dict())
    assert all(name.startswith(("cells.0.cell.", "cells.0.source_attention.")) for name in names)
    fresh = Recurrent(case.cell.like(case.F)).double()
    fresh.load_state_dict(case.layer.state_dict())
    for twin in (copy.deepcopy(case.layer), pickle.loads(pickle.dumps(case.layer)), fresh):
        case.layer, case.cell = twin, twin.cells[0]
        torch.testing.assert_close(case.run(), expected)
        assert list(twin.state_dict()) == names


def test_another_like_it_has_fresh_weights_and_the_same_options():
    cell = AttentionCell(LSTMCell(7, 5, bias=False), "additive", source_size=3, attention_size=2)
    for source in (cell, copy.deepcopy(cell)):
        other = source.like(6, hidden_size=8)
        assert (other.input_size, other.hidden_size, other.output_size, other.source_size) == (6, 8, 11, 3)
        assert other.state_size == [8, 8]
        assert other.cell.bias_ih is None
        assert other.source_attention.scores.key.weight.shape == (2, 3)
        assert other.cell is not source.cell
    assert repr(cell).startswith("AttentionCell(\n  4, 5, attention='additive', source_size=3")


def test_keys_have_the_size_of_the_hidden_state_unless_told_otherwise():
    cell = AttentionCell(LSTMCell(7, 5), "additive", source_size=3)
    assert cell.source_attention.scores.key.weight.shape == (5, 3)


def test_weights_start_anew():
    torch.manual_seed(0)
    layer = Recurrent(AttentionCell(GRUCell(7, 5), source_size=3))
    before = {name: p.clone() for name, p in layer.named_parameters()}
    layer.reset_parameters()
    same = {name for name, p in layer.named_parameters() if torch.equal(p, before[name])}
    assert same == {"cells.0.cell.bias_ih", "cells.0.cell.bias_hh"}  # zeros


def test_it_is_made_where_the_wrapped_cell_is():
    cell = AttentionCell(GRUCell(7, 5, device="meta", dtype=torch.bfloat16), source_size=3)
    assert {(p.device.type, p.dtype) for p in cell.parameters()} == {("meta", torch.bfloat16)}


class Own(RecurrentCell):
    """Cell with a constant of its own, several states and an initial state, whose output is none of them."""

    state_names = ("hidden", "count")
    constant_names = ("scale",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_size=[hidden_size, 1], output_size=2)
        self.read = nn.Linear(input_size, hidden_size)
        self.write = nn.Linear(hidden_size, 2)

    def initial_state(self, batch_size, like):
        return [like.new_full((batch_size, size), 0.5) for size in self.state_size]

    def project(self, input: Tensor) -> Tensor:
        return torch.tanh(self.read(input))

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = state[2] * (projected + state[0] / (1 + state[1]))
        return self.write(hidden), [hidden, state[1] + 1, state[2]]


@pytest.mark.parametrize("backend", ["eager", "script"])
def test_a_users_cell_keeps_its_states_output_and_constants(backend):
    torch.manual_seed(0)
    cell = AttentionCell(Own(5, 4), "none", source_size=3)
    layer, inputs = Recurrent(cell, backend=backend), torch.randn(6, 2, 2)
    scale, values = torch.rand(2, 4), torch.randn(2, 7, 3)
    outputs, (hidden, count) = layer(inputs, constants=(scale, values, None))
    context = values.mean(1)
    alone = Recurrent(cell.cell, backend="eager")
    expected, (last, steps) = alone(torch.cat([inputs, context.expand(6, 2, 3)], -1), constants=scale)
    torch.testing.assert_close(outputs, torch.cat([expected, context.expand(6, 2, 3)], -1))
    torch.testing.assert_close((hidden, count), (last, steps))
    assert check_cell(cell, constants=(scale, values, None)).passed


def test_a_wrapped_cell_that_was_run_by_itself_is_compiled_all_the_same():
    torch.manual_seed(0)
    inner = MinimalGatedUnit(5, 4)
    Recurrent(inner, backend="script")(torch.randn(2, 3, 5))
    layer, inputs, values = Recurrent(AttentionCell(inner, source_size=3)), torch.randn(6, 2, 2), torch.randn(2, 7, 3)
    outputs, _ = layer(inputs, constants=(values, None))
    assert layer.last_backend == "script"
    layer.backend = "eager"
    torch.testing.assert_close(layer(inputs, constants=(values, None))[0], outputs)


def test_a_wrapped_cell_that_can_not_be_compiled_is_not_held_against_others():
    class Printed(MinimalGatedUnit):
        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            _ = f"{projected!r}"  # TorchScript knows no such text
            return super().step(projected, state)

    inputs, constants = torch.randn(6, 2, 2), (torch.randn(2, 7, 3), None)
    with pytest.warns(UserWarning, match="^AttentionCell runs eagerly, since "):
        Recurrent(AttentionCell(Printed(5, 4), source_size=3))(inputs, constants=constants)
    layer = Recurrent(AttentionCell(MinimalGatedUnit(5, 4), source_size=3))
    layer(inputs, constants=constants)
    assert layer.last_backend == "script"


@pytest.mark.parametrize("where", ["instance", "class"])
def test_an_edited_wrapped_cell_runs_as_edited(where, monkeypatch):
    torch.manual_seed(0)

    class Edited(MinimalGatedUnit):
        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            return projected[..., :4], [state[0] + projected[..., :4]]

    layer = Recurrent(AttentionCell(Edited(5, 4), source_size=3))
    inputs, constants = torch.randn(6, 2, 2), (torch.randn(2, 7, 3), None)
    before, _ = layer(inputs, constants=constants)
    assert layer.last_backend == "script"

    def step(self, projected, state):
        return -projected[..., :4], [state[0] + projected[..., :4]]

    if where == "class":
        monkeypatch.setattr(Edited, "step", step)
        with pytest.warns(UserWarning, match="AttentionCell runs eagerly, since .* before one of its methods"):
            after, _ = layer(inputs, constants=constants)
    else:
        cell = layer.cells[0].cell
        cell.step = step.__get__(cell)
        after, _ = layer(inputs, constants=constants)
    assert layer.last_backend == "eager"
    torch.testing.assert_close(after[..., :4], -before[..., :4])


@pytest.mark.parametrize(("attention", "wrapped"), covering(ATTENTIONS, WRAPPED))
def test_check_cell_passes(attention, wrapped):
    torch.manual_seed(0)
    cell = AttentionCell(wrapped(3 + 6, 5), attention, source_size=6)
    mask = torch.tensor([[True] * 4, [True, False] * 2, [False, True, True, True]])
    values = torch.randn(3, 4, 6).masked_fill(~mask.unsqueeze(-1), float("nan"))
    report = check_cell(cell, constants=(values, mask))
    assert report.passed, report
    assert {result.status for result in report.results} == {"passed"}, report


@pytest.mark.slow
def test_check_cell_sees_it_learn():
    cell = AttentionCell(LSTMCell(4 + 6, 5), source_size=6)
    report = check_cell(cell, learn=True, constants=(torch.randn(3, 8, 6), torch.rand(3, 8) < 0.6))
    assert report.passed, report
    assert report.find("learns").status == "passed"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: AttentionCell(c, "dot", source_size=3), r"`attention` \(='dot'\) must be one of .*additive"),
        (
            lambda c: AttentionCell(c, source_size=5),
            r"`source_size` \(=5\) must be between 1 and 4: the wrapped GRUCell",
        ),
        (lambda c: AttentionCell(c, source_size=0), r"`source_size` \(=0\) must be between 1 and 4"),
        (
            lambda c: AttentionCell(c, "none", source_size=3, attention_size=4),
            r"`attention_size` \(=4\) has no effect on `attention` \(='none'\)",
        ),
        (lambda c: AttentionCell(c, source_size=3, attention_size=0), r"`attention_size` \(=0\) must be at least 1"),
        (
            lambda c: AttentionCell(AttentionCell(c, source_size=2), source_size=2),
            r"`cell` \(=AttentionCell\) attends already",
        ),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(GRUCell(5, 4))


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match=r"`cell` \(=the class GRUCell\) must be a cell"):
        AttentionCell(GRUCell, source_size=3)
    with pytest.raises(TypeError, match=r"`source_size` \(=3.0\) must be a whole number"):
        AttentionCell(GRUCell(5, 4), source_size=3.0)
    with pytest.raises(TypeError, match=r"`attention_size` \(='3'\) must be a whole number"):
        AttentionCell(GRUCell(5, 4), source_size=3, attention_size="3")


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        (lambda v, m: None, r"`constants` \(0 given\) must be `values`, `mask` for AttentionCell"),
        (lambda v, m: v, r"`constants` \(1 given\) must be `values`, `mask` for AttentionCell"),
        (lambda v, m: (v[1:], m), r"`values` of `constants`, of shape \(1, 6, 3\), must be \(B, …\) .* 2 sequences"),
        (lambda v, m: (v, m[:1]), r"`mask` of `constants`, of shape \(1, 6\), must be"),
        (lambda v, m: (None, m), r"`values` of `constants` \(=None\) must be \(B, S, 3\)"),
        (lambda v, m: (v[..., 1:], m), r"`values` of shape \(2, 6, 2\) must be \(B, S, 3\)"),
        (lambda v, m: (v[..., 0], m), r"`values` of shape \(2, 6\) must be \(B, S, 3\)"),
        (lambda v, m: (v, m[:, 1:]), r"`mask` of shape \(2, 5\) and type torch.bool must be of \(2, 6\), \(B, S\)"),
        (lambda v, m: (v, m.long()), r"`mask` of shape \(2, 6\) and type torch.int64 must be .* type torch.bool"),
        (lambda v, m: (v.long(), m), r"`values` of type torch.int64 must be of a floating-point type"),
        (lambda v, m: (v > 0, m), r"`values` of type torch.bool must be of a floating-point type"),
        (lambda v, m: (v.double(), m), r"`values` of `constants` of type torch.float64 must be of the type of the w"),
    ],
)
def test_a_wrong_source_is_named(constants, message):
    layer = Recurrent(AttentionCell(GRUCell(5, 4), source_size=3))
    values, mask = torch.randn(2, 6, 3), torch.ones(2, 6, dtype=torch.bool)
    with pytest.raises(ValueError, match=message):
        layer(torch.randn(4, 2, 2), constants=constants(values, mask))


@pytest.mark.parametrize("attention", ["additive", "multiplicative"])
def test_and_by_the_cell_itself(attention):
    cell, values = AttentionCell(GRUCell(5, 4), attention, source_size=3), torch.randn(2, 6, 3)
    with pytest.raises(ValueError, match=r"`values` of type torch.float64 must be of the type of the weights"):
        cell.source(values.double())
    with pytest.raises(ValueError, match=r"`mask` \(=list\) must be a tensor"):
        cell.source(values, [[True] * 6] * 2)


def test_the_low_level_loop_takes_a_prepared_source():
    case = Case("multiplicative", GRUCell, 9)
    state = case.cell.initial_state(case.B, case.inputs) + case.cell.source(*case.constants)
    outputs, final = unroll(case.cell, case.inputs, state, backend="auto")
    torch.testing.assert_close(outputs, case.layer(case.inputs, constants=case.constants)[0])
    assert len(final) == len(state)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_many_queries_at_once_are_answered_as_each_alone(attention):
    torch.manual_seed(1)
    source = SourceAttention(attention, 4, 3).double()
    values, mask = torch.randn(2, 6, 3).double(), torch.rand(2, 6) < 0.7
    queries = torch.randn(5, 2, 4).double()
    prepared = source.source(values.masked_fill(~mask.unsqueeze(-1), float("nan")), mask)
    weights, contexts = source(queries, *prepared)
    for query, *expected in zip(queries, weights, contexts, strict=True):
        torch.testing.assert_close(source(query, *prepared), tuple(expected))
    torch.testing.assert_close(contexts, torch.einsum("tbs,bse->tbe", weights, values))
    assert not weights[:, ~mask].any()
