"""Prediction of next tokens: losses and perplexity against NumPy, BLEU against sacrebleu, and what is shown."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import sacrebleu
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seqsum.data import Translation
from seqsum.data.base import Batch
from seqsum.data.text import END
from seqsum.errors import InputError
from seqsum.figures.attention import Attended, plot_attention
from seqsum.networks import EncoderDecoder, Flatten, StepNetwork
from seqsum.networks.beam_search import Found
from seqsum.objectives import Evaluation, Look, NextToken, Prediction, next_token_shown
from seqsum.objectives.bleu import CorpusBleu, Tokenizer, signature
from seqsum.objectives.mistakes import rows_of

V = 7


def make_batch(rows, steps, seed):
    rng = np.random.default_rng(seed)
    outputs = 2 * rng.standard_normal((rows, steps, V))
    targets, lengths = rng.integers(0, V, (rows, steps)), rng.integers(1, steps + 1, rows)
    mask = np.arange(steps) < lengths[:, None]
    return outputs, targets, mask


def as_batch(targets, mask):
    targets = torch.from_numpy(targets)
    return Batch(torch.zeros(len(targets), 2, dtype=torch.int64), targets, target_mask=torch.from_numpy(mask))


def log_softmax(outputs):
    shifted = outputs - outputs.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@given(st.integers(1, 4), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.5]), st.integers(0, 99))
def test_loss_and_perplexity_are_those_of_numpy(rows, steps, smoothing, seed):
    outputs, targets, mask = make_batch(rows, steps, seed)
    objective, batch = NextToken(V, label_smoothing=smoothing), as_batch(targets, mask)
    chances = log_softmax(outputs)
    true = np.take_along_axis(chances, targets[..., None], -1)[..., 0]
    smoothed = -(1 - smoothing) * true - smoothing * chances.mean(-1)
    noise = torch.from_numpy(outputs).masked_fill(~batch.target_mask.unsqueeze(-1), torch.nan)
    np.testing.assert_allclose(float(objective.loss(noise, batch)), smoothed[mask].mean(), rtol=1e-4)
    metrics = objective.metrics()
    for start in range(rows):
        row = batch.map(lambda tensor, row=start: tensor[row : row + 1])
        metrics.update(noise[start : start + 1], row.targets, row.scored)
    found = metrics.compute()
    np.testing.assert_allclose(float(found["perplexity"]), np.exp(-true[mask].mean()), rtol=1e-4)
    np.testing.assert_allclose(float(found["accuracy"]), (outputs.argmax(-1) == targets)[mask].mean(), rtol=1e-5)
    by_step = metrics["perplexity"].by_step()
    for step in range(steps):
        if mask[:, step].any():
            np.testing.assert_allclose(float(by_step[step]), np.exp(-true[:, step][mask[:, step]].mean()), rtol=1e-4)


def test_perplexity_of_guessing_is_the_number_of_tokens():
    metrics = NextToken(V).metrics()
    metrics.update(torch.zeros(3, 5, V), torch.randint(0, V, (3, 5)))
    assert float(metrics.compute()["perplexity"]) == pytest.approx(V)


@pytest.mark.parametrize("masked", [-1, V, -100])
def test_perplexity_takes_any_masked_targets_and_16_bits(masked):
    outputs, targets, mask = map(torch.from_numpy, make_batch(3, 5, seed=1))
    found = []
    for logits, hidden in ((outputs.bfloat16().float(), 0), (outputs.bfloat16(), masked)):
        metrics = NextToken(V).metrics()
        metrics.update(logits, targets.masked_fill(~mask, hidden), mask)
        found.append(metrics.compute())
    assert found[0] == found[1]


def test_sentences_are_written_as_the_objective_is_set():
    asked = []

    class Asked(nn.Module):
        def write(self, batch, **options):
            asked.append(options)
            return Found(torch.tensor([[END]]), torch.zeros(1), torch.tensor([True]))

    batch = Batch(torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2, dtype=torch.int64))
    tokens = NextToken(V, beams=3, length_power=0.5, longest=9).predict(Asked(), batch)
    assert tokens.tolist() == [[END]]
    assert asked == [{"beams": 3, "length_power": 0.5, "longest": 9}]


@pytest.fixture(scope="module")
def data():
    data = Translation("made", batch_size=16)
    data.setup("test")
    return data


@pytest.fixture
def network(data):
    torch.manual_seed(0)
    sizes = data.sizes(data.hparams)
    return EncoderDecoder(**sizes, hidden_size=6, embedding_size=5).eval()


def batches(data, split="test"):
    return [data.gather(table) for table in getattr(data, f"{split}_dataloader")()]


def written_wrongly(data, batch, rows):
    """References as tokens, with every third word left out in some rows."""
    sentences = []
    for place, row in enumerate(rows):
        ids = data.vocabularies.target.encode(data.pair_of("test", row).target)
        sentences.append([token for k, token in enumerate(ids) if place % 2 == 0 or k % 3])
    longest = max(map(len, sentences)) + 1
    return torch.tensor([ids + [END] * (longest - len(ids)) for ids in sentences])


@pytest.mark.parametrize("tokenizer", get_args(Tokenizer))
def test_bleu_is_that_of_sacrebleu_over_the_whole_split(data, tokenizer):
    objective = NextToken(V, bleu_tokenizer=tokenizer)
    metric, found, references = objective.answer_metrics(data)["bleu"], [], []
    for batch in batches(data):
        rows = batch.rows.flatten().tolist()
        answers = written_wrongly(data, batch, rows)
        metric.update(answers, batch)
        found += [data.vocabularies.target.decode(ids) for ids in answers.tolist()]
        references += [data.pair_of("test", row).target for row in rows]
    expected = sacrebleu.corpus_bleu(found, [references], tokenize=tokenizer).score
    assert 20 < expected < 95
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-5)
    metric.reset()
    metric.update(torch.full((len(batch.inputs), 1), END), batch)
    assert float(metric.compute()) == 0.0  # nothing written


def test_bleu_without_four_right_words_in_a_row_is_that_of_sacrebleu(data):
    (batch, *_), metric = batches(data), CorpusBleu(data)
    references = [data.pair_of("test", row).target for row in batch.rows.flatten().tolist()]
    odd = [data.vocabularies.target.encode(text)[::2] for text in references]
    answers = torch.tensor([ids + [END] * (20 - len(ids)) for ids in odd])
    metric.update(answers, batch)
    found = [data.vocabularies.target.decode(ids) for ids in odd]
    expected = sacrebleu.corpus_bleu(found, [references])
    assert expected.counts[-1] == 0 < expected.score
    assert float(metric.compute()) == pytest.approx(expected.score, rel=1e-5)


def test_processes_compare_their_own_rows(data, monkeypatch):
    (batch, *_), whole = batches(data), CorpusBleu(data)
    rows = batch.rows.flatten().tolist()
    answers = written_wrongly(data, batch, rows)
    whole.update(answers, batch)
    total = torch.zeros(4, dtype=torch.int64)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for rank in range(3):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
        part, metric = batch.map(lambda tensor, rank=rank: tensor[rank::3])._replace(rows=batch.rows), CorpusBleu(data)
        metric.update(answers[rank::3], part)
        total += metric.right
        evaluation = Evaluation("test", EncoderDecoder(9, 9), data, part, [part], [torch.zeros(len(part.inputs), 1, 9)])
        assert rows_of(evaluation).tolist() == rows[rank::3]
    assert torch.equal(total, whole.right)
    with pytest.raises(InputError, match="don't have `rows`"):
        whole.update(answers, batch._replace(rows=None))


def test_the_signature_says_how_bleu_is_computed():
    assert signature().startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "|tok:char|" in signature("char")


def test_a_network_that_can_not_write_answers_at_each_step():
    batch = Batch(torch.randn(2, 5, 3), torch.zeros(2, 0))
    network = StepNetwork(V, Flatten(3))
    answers = NextToken(V).predict(network, batch)
    assert torch.equal(answers, network(batch).argmax(-1))
    assert answers.shape == (2, 5)


def evaluate(data, network, split):
    found = batches(data, split)
    with torch.no_grad():
        outputs = [network(batch) for batch in found]
    return Evaluation(split, network, data, found[0], [b._replace(inputs=b.inputs[:0]) for b in found], outputs)


def cut_off(ids: list[int]) -> str:
    return "" if END in ids else f" … (cut off after {len(ids)} tokens)"


@pytest.mark.parametrize("split", ["val", "test"])
def test_sentences_stand_beside_references_and_translations(data, network, split):
    objective = NextToken(network.output_size, beams=2, longest=6)
    evaluation = evaluate(data, network, split)
    rows = evaluation.first.rows.flatten().tolist()
    title, *_ = sections = objective.report(evaluation, Look(sequences=3))
    assert [section.name for section in sections[1:]] == ["attention_1", "attention_2", "attention_3"]
    assert "tok:13a" in title.text
    tokens = objective.predict(network, evaluation.first)
    lines = objective.texts(evaluation)["translations"].splitlines()
    for place, (source, reference, translation) in enumerate(title.table.rows):
        pair = data.pair_of(split, rows[place])
        assert (source, reference) == pair
        ids = tokens[place].tolist()
        assert translation == data.vocabularies.target.decode(ids) + cut_off(ids)
        assert lines[place + 2] == f"{source} | {reference} | {translation}"
    assert list(objective.figures(evaluation)) == ["attention_1", "attention_2"]


def test_a_users_sentences_are_translated_and_unknown_words_named(network):
    own = Translation("made", texts=["tavi quorl", "tavi"])
    own.setup("test")
    own.setup("predict")
    objective = NextToken(network.output_size, beams=2, longest=6)
    loader = list(own.predict_dataloader())
    answers = [objective.predict(network, batch) for batch in loader]
    shown = objective.show(Prediction(network, own, loader, answers))
    known = own.known(["tavi", "quorl"])
    assert not known[1]
    assert [row[0] for row in shown.tables[0].rows] == ["“tavi quorl”", "“tavi”"]
    assert shown.tables[0].rows[0][2].split(", ")[-1] == "quorl"
    assert list(shown.figures) == ["own_attention_1", "own_attention_2"]
    axes = shown.figures["own_attention_1"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["tavi", "quorl", "<end>"]
    assert shown.lines == []


def test_attention_is_drawn_for_a_users_first_sentences_only(network, monkeypatch):
    monkeypatch.setattr(next_token_shown, "MAPS", 2)
    own = Translation("made", texts=["tavi"] * 3)
    own.setup("test")
    own.setup("predict")
    objective = NextToken(network.output_size, beams=1, longest=3)
    loader = list(own.predict_dataloader())
    shown = objective.show(Prediction(network, own, loader, [objective.predict(network, batch) for batch in loader]))
    assert len(shown.tables[0].rows) == 3
    assert list(shown.figures) == ["own_attention_1", "own_attention_2"]
    assert shown.lines == ["Attention is drawn for the first 2 of 3 sentences"]
    assert shown.lines[0] in shown.page[0].text


@pytest.mark.parametrize("ends", [False, True])
def test_maps_have_a_row_for_each_word_and_for_the_end_if_it_was_written(network, ends):
    with torch.no_grad():
        network.bias[END] = -50.0
        network.target.module.weight[END] = 0.0
        if ends:
            network.bias[END] = 1.5
    own = Translation("made", texts="tavi")
    own.setup("test")
    own.setup("predict")
    objective = NextToken(network.output_size, beams=1, longest=4)
    (batch,) = own.predict_dataloader()
    answers = [objective.predict(network, batch)]
    shown = objective.show(Prediction(network, own, [batch], answers))
    rows = [label.get_text() for label in shown.figures["own_attention_1"].axes[0].get_yticklabels()]
    ids = answers[0][0].tolist()
    assert rows == own.vocabularies.target.pieces(ids)
    assert (rows[-1] == "<end>") == ends
    assert shown.tables[0].rows[0][1] == own.vocabularies.target.decode(ids) + cut_off(ids)
    assert ("cut off after 4 tokens" in shown.tables[0].rows[0][1]) == (not ends)


class AttendsByToken(nn.Module):
    """Attends to every step of the source by a thousandth of the number of the token that it writes."""

    def attention(self, batch):
        return (batch.targets / 1_000).unsqueeze(2).expand(-1, -1, batch.inputs.shape[1])


def test_maps_are_of_what_was_written_in_its_order():
    own = Translation("made", texts=["tavi", "tavi quorl"])
    own.setup("test")
    own.setup("predict")
    written = [[4, 9, 6, END, END], [8, 5, 7, END, END]]
    answers = [torch.tensor([tokens]) for tokens in written]
    shown = NextToken(V).show(Prediction(AttendsByToken(), own, list(own.predict_dataloader()), answers))
    for figure, tokens in zip(shown.figures.values(), written, strict=True):
        map_ = figure.axes[0].images[0].get_array()
        assert (1_000 * map_[:, 0]).round().tolist() == tokens[:4]


def test_maps_of_attention_share_their_colours_and_have_words_on_their_axes():
    weights = torch.rand(3, 2).softmax(1)
    figure = plot_attention(
        {"additive": Attended(["a", "$b"], ["x", "y", "z"], weights), "other": Attended(["a"], ["x"], torch.ones(1, 1))}
    )
    first, second, bar = figure.axes
    assert [label.get_text() for label in first.get_xticklabels()] == ["a", "$b"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["x", "y", "z"]
    np.testing.assert_allclose(first.images[0].get_array(), weights.numpy())
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0, 1)
    assert [text.get_text() for text in figure.texts] == ["additive", "other"]
    assert bar.get_ylim() == (0, 1)
    squares = [axes.get_window_extent() for axes in (first, second)]
    assert squares[0].width / 2 == pytest.approx(squares[1].width, rel=0.01)  # a square a word in both
    assert squares[0].height / 3 == pytest.approx(squares[1].height, rel=0.01)


@pytest.mark.parametrize(("read", "written"), [(3_000, 4), (5, 3_000), (3_000, 3_000), (51, 50), (50, 50)])
def test_maps_of_attention_have_a_largest_size_and_say_what_they_leave_out(read, written):
    words = [f"w{n}" for n in range(3_000)]
    weights = torch.rand(written, read)
    shorter = Attended(words[:3], words[:2], torch.rand(2, 3))
    for name in ("", "additive"):
        longer = Attended(words[:read], words[:written], weights)
        figure = plot_attention({name: longer, "other": shorter})
        assert max(figure.get_size_inches()) < 16
        map_ = figure.axes[0]
        np.testing.assert_allclose(map_.images[0].get_array(), weights[:50, :50].numpy())
        assert [label.get_text() for label in map_.get_xticklabels()] == words[: min(50, read)]
        assert [label.get_text() for label in map_.get_yticklabels()] == words[: min(50, written)]
        cut = [f"first 50 of {n:,} words {verb}" for n, verb in ((read, "read"), (written, "written")) if n > 50]
        title = "\n".join([name] * bool(name) + cut)
        assert [text.get_text() for text in figure.texts] == [title] * bool(title) + ["other"]
        drawn = [text.get_window_extent() for text in figure.texts]
        assert all(text.y0 > map_.get_window_extent().y1 + 60 for text in drawn)  # the words are below


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vocabulary_size": None}, InputError, "`--model.objective.vocabulary_size` must be given"),
        ({"label_smoothing": 1.5}, ValueError, "`label_smoothing`"),
        ({"beams": 0}, ValueError, "`beams`"),
        ({"longest": 0}, ValueError, "`longest`"),
    ],
)
def test_what_can_not_be_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        NextToken(**({"vocabulary_size": V} | arguments))
