"""Readouts against loops over the valid steps, for any mask; and a network's output after every step."""

from typing import get_args

import pytest
import torch
from torch import nn

from seqsum import trace
from seqsum.data.base import Batch, unlabelled
from seqsum.networks import Embed, Flatten, ReadoutName, SequenceNetwork, build_network, make_readout
from seqsum.objectives import Classification
from tests.covering import covering

NAMES = get_args(ReadoutName)
ONE = NAMES[1:]  # an output for each sequence
CELLS = ["lstm", "gru", "rnn", "torch_lstm", "torch_gru"]


def make_head(readout, hidden_size, output_size=3):
    return nn.Linear(hidden_size * make_readout(readout).width, output_size).double()


def draw(seed):
    """Draw states `(B, T, H)`, and a mask of any pattern, with one sequence of no valid step and one of all."""
    torch.manual_seed(seed)
    states = torch.randn(6, 7, 4, dtype=torch.double) * 3
    mask = torch.rand(6, 7) < torch.rand(6, 1)
    mask[0], mask[1] = False, True
    return states, mask


def slow(name, states, mask, head, directions=1):
    """Read each sequence's valid steps by a plain loop: `(B, T, H)` -> `(B, 1, K)`."""
    found = []
    for of_sequence, valid in zip(states, mask, strict=True):
        steps = [state for state, exists in zip(of_sequence, valid.tolist(), strict=True) if exists]
        if not steps:
            after = name in ("mean_logits", "mean_probabilities")
            zero = torch.zeros(head.in_features, dtype=states.dtype)
            outputs = 0 * head(zero) if after else head(zero)
            if name == "mean_probabilities" and len(outputs) > 1:
                outputs = outputs.log_softmax(-1)
        elif name == "last":
            half = len(steps[0]) // directions
            outputs = head(torch.cat([steps[-1][:half], steps[0][half:]]))
        elif name == "mean_states":
            outputs = head(sum(steps) / len(steps))
        elif name in ("max", "mean_max"):
            most = torch.stack([max(state[unit] for state in steps) for unit in range(len(steps[0]))])
            outputs = head(most if name == "max" else torch.cat([sum(steps) / len(steps), most]))
        elif name == "mean_logits":
            outputs = sum(head(state) for state in steps) / len(steps)
        elif head.out_features == 1:
            chance = sum(head(state).sigmoid() for state in steps) / len(steps)
            outputs = (chance / (1 - chance)).log()
        else:
            outputs = (sum(head(state).softmax(-1) for state in steps) / len(steps)).log()
        found.append(outputs)
    return torch.stack(found).unsqueeze(1)


@pytest.mark.parametrize(("name", "directions", "output_size", "seed"), covering(ONE, (1, 2), (1, 3), range(4)))
def test_readouts_equal_a_loop_over_the_valid_steps(name, directions, output_size, seed):
    states, mask = draw(seed)
    head = make_head(name, 4, output_size)
    readout = make_readout(name, directions)
    towards = torch.randn(6, 1, output_size, dtype=torch.double)
    found = {}
    for kind in ("fast", "slow"):
        leaf = states.clone().requires_grad_()
        outputs = readout(leaf, mask, head) if kind == "fast" else slow(name, leaf, mask, head, directions)
        found[kind] = [outputs, *torch.autograd.grad((outputs * towards).sum(), [leaf, *head.parameters()])]
    for ours, theirs in zip(found["fast"], found["slow"], strict=True):
        torch.testing.assert_close(ours, theirs)
    complete = torch.ones_like(mask)
    torch.testing.assert_close(readout(states, None, head), slow(name, states, complete, head, directions))


@pytest.mark.parametrize(("name", "nonsense"), covering(ONE, (torch.nan, torch.inf, -torch.inf, 1e300)))
def test_masked_steps_take_no_part(name, nonsense):
    states, mask = draw(0)
    head = make_head(name, 4)
    results = []
    for filling in (0.0, nonsense):
        leaf = states.masked_fill(~mask.unsqueeze(-1), filling).requires_grad_()
        outputs = make_readout(name, 2)(leaf, mask, head)
        results.append([outputs, *torch.autograd.grad(outputs.square().sum(), [leaf, *head.parameters()])])
    assert all(tensor.isfinite().all() for tensor in results[1])
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))
    assert not results[1][1][~mask].any()


@pytest.mark.parametrize("seed", range(3))
def test_mean_probabilities_are_what_softmax_and_sigmoid_give(seed):
    states, mask = draw(seed)
    mask[:, 3] = True
    readout = make_readout("mean_probabilities")
    several = readout(states, mask, nn.Identity()).softmax(-1)
    single = readout(states[..., :1], mask, nn.Identity()).sigmoid()
    for row in range(6):
        valid = states[row, mask[row]]
        torch.testing.assert_close(several[row, 0], valid.softmax(-1).mean(0))
        torch.testing.assert_close(single[row, 0], valid[:, :1].sigmoid().mean(0))


@pytest.mark.parametrize("size", [1, 2])
def test_mean_probabilities_of_extreme_logits_stay_finite(size):
    logits = torch.tensor([[[-200.0] * size, [-300.0] * size]])
    logits[..., 1:] = 0
    logits.requires_grad_()
    outputs = make_readout("mean_probabilities")(logits, None, nn.Identity())
    odds = outputs[0, 0, 0] - (outputs[0, 0, 1] if size == 2 else 0)
    assert odds.item() == pytest.approx(-200 - 0.6931, abs=1e-3)
    odds.backward()
    assert logits.grad[0, :, 0].tolist() == pytest.approx([1, 0])


def test_mean_probabilities_of_16_bits_are_computed_in_32():
    states, mask = draw(0)
    logits = states.bfloat16()
    found = make_readout("mean_probabilities")(logits, mask, nn.Identity())
    torch.testing.assert_close(found, make_readout("mean_probabilities")(logits.float(), mask, nn.Identity()))


def test_unknown_readout_is_refused():
    with pytest.raises(ValueError, match=r"`readout` \(='first'\) must be one of 'every', 'last', .*, 'mean_max'"):
        build_network(3, encoder=Flatten(2), readout="first")


def make_network(cell="gru", **options):
    torch.manual_seed(0)
    network = build_network(3, cell, 5, encoder=Embed(9, 4), **options).double().eval()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.7)
    return network


def draw_batch(seed=0, padding=77):
    torch.manual_seed(seed)
    mask = torch.rand(6, 7) < 0.6
    mask[0], mask[1] = True, torch.arange(7) < 3
    mask[:, 2] = True
    words = torch.randint(9, (6, 7)).masked_fill(~mask, padding)
    return unlabelled(words, mask)


def alone(batch, row):
    """One sequence of the batch without its masked steps."""
    return unlabelled(batch.inputs[row : row + 1, batch.mask[row]])


@pytest.mark.parametrize("readout", ONE)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_batch_with_masks_equals_each_sequence_alone(readout, cell, bidirectional):
    network, batch = make_network(cell, num_layers=2, readout=readout, bidirectional=bidirectional), draw_batch()
    outputs = network(batch)
    assert outputs.shape == (6, 1, 3)
    for row in range(6):
        torch.testing.assert_close(outputs[row : row + 1], network(alone(batch, row)))


@pytest.mark.parametrize("cell", CELLS)
def test_last_state_of_both_directions_is_the_final_state(cell):
    outputs_are_states = {"output_activation": "tanh"} if cell == "lstm" else {}
    network, batch = make_network(cell, readout="last", bidirectional=True, **outputs_are_states), draw_batch()
    _, final = network.recur(network.features(batch), mask=batch.mask)
    hidden = final[0] if isinstance(final, tuple) else final  # (D, B, H)
    torch.testing.assert_close(network(batch), network.head(torch.cat([*hidden], dim=-1)).unsqueeze(1))


@pytest.mark.parametrize("readout", NAMES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_by_step_ends_in_the_output_and_asks_every_beginning(readout, cell, bidirectional):
    network, batch = make_network(cell, readout=readout, bidirectional=bidirectional), draw_batch()
    outputs, steps = network(batch), network.by_step(batch)
    assert steps.shape == (6, 7, 3)
    for row in range(6):
        places = batch.mask[row].nonzero().squeeze(1).tolist()
        last = -1 if readout != "every" else places[-1]
        torch.testing.assert_close(steps[row, places[-1]], outputs[row, last])
        if readout == "every" and bidirectional:  # each of its outputs has seen the whole sequence
            continue
        for count, place in enumerate(places, start=1):
            beginning = unlabelled(batch.inputs[row : row + 1, places[:count]])
            torch.testing.assert_close(steps[row, place], network(beginning)[0, -1])
        if readout != "every":
            for place in range(places[0] + 1, 7):
                if place not in places:
                    torch.testing.assert_close(steps[row, place], steps[row, place - 1])


@pytest.mark.parametrize("readout", ONE)
def test_targets_of_many_steps_are_refused(readout):
    network, batch = make_network(readout=readout), draw_batch()
    with pytest.raises(ValueError, match=rf"`--model.readout` \(={readout}\) gives one output .* have 7 targets"):
        network(Batch(batch.inputs, batch.inputs, batch.mask))


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"bidirectional": True}, r"`bidirectional` \(=True\)"),
        ({"readout": "last"}, r"`readout` \(='last'\)"),
        ({"input_dropout": 0.5}, r"`input_dropout` \(=0.5\)"),
        ({"recurrent_dropout": 0.5}, r"`recurrent_dropout` \(=0.5\)"),
    ],
)
def test_windows_refuse_what_needs_the_whole_sequence(options, flag):
    with pytest.raises(ValueError, match=rf"`truncate` \(=3\) does not go with {flag}, which needs the whole"):
        make_network(truncate=3, **options)
    make_network(truncate=3, readout_dropout=0.5)


@pytest.mark.parametrize(
    ("options", "flag"),
    [({"bidirectional": True}, r"bidirectional` \(=true\)"), ({"readout": "max"}, r"readout` \(=max\)")],
)
def test_continuing_from_a_state_is_refused_where_it_makes_no_sense(options, flag):
    network, batch = make_network(**options), draw_batch()
    _, state = network.run(batch.inputs, mask=batch.mask)
    with pytest.raises(ValueError, match=rf"`--model.{flag} needs whole sequences"):
        network.run(batch.inputs, state, mask=batch.mask)


@pytest.mark.parametrize("cell", CELLS)
def test_the_last_output_can_be_continued(cell):
    network = make_network(cell, readout="last")
    words = torch.randint(9, (3, 7))
    _, state = network.run(words[:, :4])
    torch.testing.assert_close(network.run(words[:, 4:], state)[0], network(unlabelled(words)))


def test_traces_of_both_directions_have_names_of_their_own():
    network = make_network("lstm", bidirectional=True, readout="mean_max")
    with trace(network) as traced:
        network(draw_batch())
    assert {"recurrence.hidden_l0", "recurrence.hidden_l0_reverse"} <= set(traced)


def test_loss_and_metrics_of_one_output_for_each_sequence():
    network, batch = make_network(readout="mean_max", bidirectional=True), draw_batch()
    batch = Batch(batch.inputs, torch.tensor([[0], [1], [2], [0], [1], [2]]), batch.mask, torch.ones(6, 1).bool())
    objective, outputs = Classification(3), network(batch)
    expected = nn.functional.cross_entropy(outputs[:, 0], batch.targets[:, 0])
    assert objective.loss(outputs, batch).item() == pytest.approx(expected.item(), rel=1e-6)
    metrics = objective.metrics()
    metrics.update(outputs, batch.targets, batch.scored)
    assert metrics["accuracy"].compute() == (outputs[:, 0].argmax(-1) == batch.targets[:, 0]).float().mean()


def test_networks_of_other_parts_have_one_direction():
    assert not SequenceNetwork(Flatten(2), nn.Identity(), nn.Identity()).bidirectional
