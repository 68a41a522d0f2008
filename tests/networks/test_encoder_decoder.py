"""Encoder and decoder: against their equations, masks, steps one by one, and what is written."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqsum.data.base import Batch
from seqsum.data.text import END, PADDING, START, UNKNOWN
from seqsum.errors import InputError
from seqsum.networks import EncoderDecoder
from seqsum.networks.decoders import build_decoder
from seqsum.objectives import NextToken

SOURCE, TARGET, HIDDEN, EMBEDDED = 9, 8, 6, 5
KINDS = list(itertools.product(("additive", "multiplicative", "none"), ("each_step", "after"), ("gru", "lstm", "rnn")))
KINDS += [("additive", "after", "torch_gru"), ("multiplicative", "after", "torch_lstm")]
KINDS += [("additive", attends, "tests.networks.own_cells.Uneven") for attends in ("each_step", "after")]


def make_network(attention="additive", attends="each_step", cell="gru", **options):
    torch.manual_seed(0)
    options = {"dropout": 0.0, **options}
    network = EncoderDecoder(SOURCE, TARGET, cell, HIDDEN, EMBEDDED, attention, attends, **options).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.6)
    return network.eval()


def make_batch(lengths=(4, 2, 5), target_lengths=(3, 6, 1), seed=0):
    torch.manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    target_mask = torch.arange(max(target_lengths)) < torch.tensor(target_lengths).unsqueeze(1)
    inputs = torch.randint(END, SOURCE, mask.shape).masked_fill(~mask, PADDING)
    targets = torch.randint(END + 1, TARGET, target_mask.shape).masked_fill(~target_mask, PADDING)
    targets[range(len(lengths)), [length - 1 for length in target_lengths]] = END
    return Batch(inputs, targets, mask, target_mask)


def row_alone(batch, row):
    """One row without its padding and masks."""
    inputs, targets = batch.inputs[row][batch.mask[row]], batch.targets[row][batch.target_mask[row]]
    return Batch(inputs[None], targets[None])


def by_equations(network, source, targets):
    """Logits `(T, V)` of one sentence, by the equations of the papers, for a GRU with additive attention."""
    weights = dict(network.named_parameters())
    reader = nn.GRU(EMBEDDED, HIDDEN, bidirectional=True).double()
    reader.load_state_dict(network.reader.torch_state_dict())
    values, final = reader(weights["encoder.module.weight"][source].unsqueeze(1))
    values = values.squeeze(1)  # (S, 2H)
    state = torch.tanh(weights["bridge.0.weight"] @ final.flatten() + weights["bridge.0.bias"])
    inner = nn.GRUCell(EMBEDDED + 2 * HIDDEN, HIDDEN).double()
    inner.load_state_dict(network.decoder.cell.cell.state_dict())
    scores = {name.split(".")[-2]: w for name, w in network.decoder.named_parameters() if ".scores." in name}
    logits = []
    for word in [START, *targets[:-1]]:
        vector = weights["target.module.weight"][word]
        units = torch.tanh(scores["query"] @ state + values @ scores["key"].T)  # (S, A)
        context = (units @ scores["score"][0]).softmax(0) @ values
        state = inner(torch.cat([vector, context])[None], state[None])[0]
        result = torch.tanh(weights["result.weight"] @ torch.cat([state, context, vector]) + weights["result.bias"])
        logits.append(weights["target.module.weight"] @ result + weights["bias"])
    return torch.stack(logits)


def test_it_is_its_equations():
    network, batch = make_network(), make_batch()
    logits = network(batch)
    for row in range(3):
        alone = row_alone(batch, row)
        expected = by_equations(network, alone.inputs[0], alone.targets[0].tolist())
        torch.testing.assert_close(logits[row][batch.target_mask[row]], expected)


@pytest.mark.parametrize(("attention", "attends", "cell"), KINDS)
def test_padding_takes_no_part(attention, attends, cell):
    network, batch = make_network(attention, attends, cell), make_batch()
    logits, weights = network(batch), network.attention(batch)
    found = network.write(batch, beams=2, longest=7)
    for row in range(3):
        alone, valid = row_alone(batch, row), batch.target_mask[row]
        torch.testing.assert_close(logits[row][valid], network(alone)[0])
        torch.testing.assert_close(weights[row][valid][:, batch.mask[row]], network.attention(alone)[0])
        assert not weights[row][:, ~batch.mask[row]].any()
        torch.testing.assert_close(weights[row].sum(-1), torch.ones(6).double())
        written = network.write(alone, beams=2, longest=7)
        assert torch.equal(found.tokens[row][: written.tokens.shape[1]], written.tokens[0])
        torch.testing.assert_close(found.scores[row], written.scores[0])


@pytest.mark.parametrize(("attention", "attends", "cell"), KINDS)
def test_no_word_sees_itself_or_a_later_one(attention, attends, cell):
    network, batch = make_network(attention, attends, cell), make_batch()
    before = network(batch)
    for t in range(6):
        targets = batch.targets.clone()
        targets[:, t] = (targets[:, t] + 1) % TARGET
        changed = (network(batch._replace(targets=targets)) != before).any(-1)  # (B, T)
        assert not changed[:, : t + 1].any()
        assert changed[:, t + 1 : t + 2].all()


@pytest.mark.parametrize(("attention", "attends", "cell"), KINDS)
def test_all_parts_learn(attention, attends, cell):
    network, batch = make_network(attention, attends, cell), make_batch()
    network(batch).square().sum().backward()
    assert [name for name, weight in network.named_parameters() if not weight.grad.any()] == []


@pytest.mark.parametrize(("attention", "attends", "cell"), KINDS)
def test_steps_one_by_one_are_all_at_once(attention, attends, cell):
    network, batch = make_network(attention, attends, cell).train(), make_batch()
    at_once = network(batch)
    network.teacher_forcing = 1 - 1e-12  # step by step, but always the true word
    torch.testing.assert_close(network(batch)[batch.scored], at_once.outputs)


@pytest.mark.parametrize(("attention", "attends", "cell"), KINDS)
def test_training_predicts_scored_words_alone_with_the_same_loss_and_gradients(attention, attends, cell):
    network, batch, objective = make_network(attention, attends, cell), make_batch(), NextToken(TARGET)
    assert not batch.scored.all()
    found = []
    for outputs in (network.eval()(batch), network.train()(batch)):
        network.zero_grad()
        loss = objective.loss(*batch.pair(outputs, objective.by_step))
        loss.backward()
        found.append([loss, *(weight.grad.clone() for weight in network.parameters())])
    assert outputs.outputs.shape == (batch.scored.sum(), TARGET)
    torch.testing.assert_close(found[1], found[0])


def test_without_teacher_forcing_each_step_reads_the_word_before_it():
    network, batch = make_network(teacher_forcing=0.0).train(), make_batch()
    logits = network(batch)
    own = logits.argmax(-1)
    torch.testing.assert_close(network.eval()(batch._replace(targets=own)), logits)
    network.train().teacher_forcing = 0.5
    torch.manual_seed(0)
    mixed = network(batch)
    assert not torch.allclose(mixed, logits)
    assert torch.allclose(mixed[:, 0], logits[:, 0])
    network.eval()  # evaluation always reads true words
    assert torch.equal(network(batch), make_network()(batch))


@pytest.mark.parametrize("attends", ["each_step", "after"])
def test_what_is_written_greedily_is_most_probable_word_by_word(attends):
    network, batch = make_network(attends=attends), make_batch()
    found = network.write(batch, longest=8)
    logits = network(batch._replace(targets=found.tokens, target_mask=None))
    logits[..., [PADDING, UNKNOWN, START]] = -torch.inf
    for row, tokens in enumerate(found.tokens.tolist()):
        count = tokens.index(END) + 1 if END in tokens else len(tokens)
        assert tokens[:count] == logits[row].argmax(-1)[:count].tolist()
        chances = logits[row, :count].log_softmax(-1)
        score = sum(chances[t, token].item() for t, token in enumerate(tokens[:count])) / count
        assert found.scores[row].item() == pytest.approx(score, abs=1e-5)


def test_special_words_are_never_written():
    network, batch = make_network(), make_batch()
    with torch.no_grad():
        network.bias[[PADDING, UNKNOWN, START]] = 50.0
    tokens = network.write(batch, beams=3, longest=9).tokens
    assert tokens.min() >= END


def test_dropout_is_of_words_and_results_in_training_alone():
    network, batch = make_network(dropout=0.5), make_batch()
    assert torch.equal(network.eval()(batch), network(batch))
    assert not torch.equal(network.train()(batch).outputs, network(batch).outputs)


@pytest.mark.parametrize("attends", ["each_step", "after"])
def test_backends_give_the_same(attends):
    results = [make_network(attends=attends, backend=backend)(make_batch()) for backend in ("eager", "script", "auto")]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])
    network = make_network(attends=attends, backend="eager")
    network(make_batch())
    assert {layers.last_backend for layers in (network.reader, network.decoder.recurrence)} == {"eager"}


def test_the_last_layer_shares_the_words_vectors():
    network = make_network()
    assert network.output_size == TARGET
    with torch.no_grad():
        before = network(make_batch())
        network.target.module.weight[7] += 1.0
        changed = network(make_batch()) - before
    assert changed[..., 7].abs().min() > 0
    assert F.linear(torch.ones(EMBEDDED).double(), network.vectors).shape == (TARGET,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target_vocabulary_size": None}, InputError, "`--model.network.target_vocabulary_size`"),
        ({"source_vocabulary_size": None}, InputError, "`--model.network.source_vocabulary_size`"),
        ({"attention": "some"}, ValueError, "`attention`"),
        ({"attends": "before"}, ValueError, "`attends` .*'before'"),
        (
            {"cell": "torch_gru", "attends": "each_step"},
            ValueError,
            "`attends` .* must be 'after' for `cell`",
        ),
        ({"cell": "torch_gru", "backend": "eager"}, ValueError, "`backend` .* must be 'auto' for `cell`"),
        ({"backend": "fast"}, ValueError, "`backend` .*'fast'"),
        ({"dropout": 1.5}, ValueError, "`dropout`"),
        ({"teacher_forcing": -0.5}, ValueError, "`teacher_forcing`"),
        ({"hidden_size": 0}, ValueError, "`hidden_size`"),
        ({"cell": "nowhere.Cell"}, ValueError, "`cell`"),
    ],
)
def test_what_can_not_be_is_refused(arguments, error, message):
    sizes = {"source_vocabulary_size": SOURCE, "target_vocabulary_size": TARGET}
    with pytest.raises(error, match=message):
        EncoderDecoder(**(sizes | arguments))


def test_a_users_own_cell_decodes():
    cell = "tests.networks.own_cells.HalfLife"
    decoder = build_decoder(cell, 5, 6, "additive", 4)
    assert decoder(torch.randn(2, 3, 5), [torch.zeros(2, 6)], torch.randn(2, 7, 4), None).shape == (2, 3, 10)


@pytest.mark.parametrize("attends", ["each_step", "after"])
@pytest.mark.parametrize("attention", ["additive", "multiplicative", "none"])
def test_the_context_changes_from_step_to_step_only_with_attention(attention, attends):
    network, batch = make_network(attention, attends), make_batch()
    contexts = []
    network.result.register_forward_pre_hook(lambda _, given: contexts.append(given[0][..., HIDDEN:-EMBEDDED]))
    network(batch)
    (context,) = contexts  # (B, T, 2H)
    changes = (context[:, 1:] - context[:, :-1]).abs().amax(-1)
    if attention == "none":
        assert changes.max() < 1e-12
    else:
        assert changes[batch.target_mask[:, 1:]].min() > 1e-6


def test_the_result_is_the_same_each_time():
    network, batch = make_network(dropout=0.5).eval(), make_batch()
    first, *others = (network.write(batch, beams=3, longest=8) for _ in range(3))
    assert all(torch.equal(found.tokens, first.tokens) for found in others)
    network.train()  # in training, dropout makes each one another
    assert len({tuple(network.write(batch, longest=8).tokens.flatten().tolist()) for _ in range(10)}) > 1


def test_dropout_is_of_words_read_of_words_written_and_of_results():
    network, batch = make_network(dropout=0.5), make_batch((5, 5, 5), (6, 6, 6))
    with torch.no_grad():
        network.vectors[:EMBEDDED] = torch.eye(EMBEDDED)  # so the first logits are the results
        network.bias.zero_()
    read, written = [], []
    network.reader.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    network.result.register_forward_pre_hook(lambda _, given: written.append(given[0][..., -EMBEDDED:]))
    results = [batch.pair(network.train(mode)(batch))[0][..., :EMBEDDED] for mode in (False, True)]
    for whole, dropped in (read, written, results):
        share = (dropped[whole != 0] == 0).double().mean()
        assert 0.25 < share < 0.75


@pytest.mark.parametrize(("attends", "later"), [("each_step", 2), ("after", 1)])
def test_attention_is_that_of_the_step_before_its_word_is_known(attends, later):
    network, batch = make_network(attends=attends), make_batch()
    before = network.attention(batch)
    for t in range(4):
        targets = batch.targets.clone()
        targets[:, t] = (targets[:, t] + 1) % TARGET
        changed = (network.attention(batch._replace(targets=targets)) != before).any(-1)  # (B, T)
        assert not changed[:, : t + later].any()
        assert changed[:, t + later].all()


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_torchs_own_cells_predict_the_same(cell):
    networks = []
    for name in (cell, f"torch_{cell}"):
        torch.manual_seed(0)
        networks.append(EncoderDecoder(SOURCE, TARGET, name, HIDDEN, EMBEDDED).eval())
    own, torchs = (network(make_batch()) for network in networks)
    torch.testing.assert_close(own, torchs)
