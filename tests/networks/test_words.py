"""Word ids to vectors: the look-up, the one-hot product that it equals, and word dropout."""

import pytest
import torch

from seqsum.networks import Embed, OneHot, TimeDistributed


@pytest.mark.parametrize("seed", range(5))
def test_a_look_up_equals_the_one_hot_vector_times_the_matrix(seed):
    torch.manual_seed(seed)
    embed, one_hot = Embed(11, 5).double(), OneHot(11, 5).double()
    assert not torch.equal(embed.weight, one_hot.weight)
    one_hot.load_state_dict(embed.state_dict())
    words = torch.randint(11, (40,))
    vectors, products = embed(words), one_hot(words)
    assert torch.equal(vectors, products)
    assert torch.equal(vectors, torch.stack([embed.weight[word] for word in words.tolist()]))
    towards = torch.randn_like(vectors)
    for encoder, outputs in ((embed, vectors), (one_hot, products)):
        (outputs * towards).sum().backward()
        expected = torch.zeros(11, 5, dtype=torch.double)
        for word, gradient in zip(words.tolist(), towards, strict=True):
            expected[word] += gradient
        torch.testing.assert_close(encoder.weight.grad, expected)


def test_vectors_start_small():
    torch.manual_seed(0)
    assert Embed(1_000, 50).weight.std().item() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("kind", [Embed, OneHot])
def test_texts_may_be_mapped(kind):
    encoder, texts = kind(11, 5), torch.randint(11, (3, 4))
    assert torch.equal(torch.func.vmap(encoder)(texts), encoder(texts.flatten()).view(3, 4, 5))


@pytest.mark.parametrize("kind", [Embed, OneHot])
def test_dropped_words_become_unknown_in_training_only(kind):
    torch.manual_seed(0)
    encoder = kind(2_002, 4, word_dropout=0.3)
    words = torch.arange(2, 2_002).repeat(3)
    found = encoder(words)
    unknown = (found == encoder.weight[1]).all(1)
    assert unknown.float().mean().item() == pytest.approx(0.3, abs=0.04)
    assert torch.equal(found[~unknown], encoder.weight[words[~unknown]])
    of_places = unknown.view(3, -1)
    assert torch.equal(of_places[0], of_places[1]), "a word is dropped wherever it stands"
    assert not torch.equal(unknown, (encoder(words) == encoder.weight[1]).all(1)), "others in every batch"
    padding = torch.zeros(1, dtype=torch.long)
    assert all(torch.equal(encoder(padding), encoder.weight[padding]) for _ in range(40)), "padding is no word"
    assert torch.equal(encoder.eval()(words), encoder.weight[words])


@pytest.mark.parametrize("kind", [Embed, OneHot])
def test_masked_steps_may_hold_any_number(kind):
    encoder = TimeDistributed(kind(5, 3))
    words, mask = torch.tensor([[4, 99, 2], [-7, 3, 0]]), torch.tensor([[True, False, True], [False, True, True]])
    found = encoder(words, mask)
    assert torch.equal(found[mask], encoder.module.weight[words[mask]])
    assert found.isfinite().all()


@pytest.mark.parametrize("kind", [Embed, OneHot])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (torch.tensor([1, 5, 2]), r"`vocabulary_size` \(=5\) has ids 0 to 4, but the inputs contain 5"),
        (torch.tensor([1, -1, 9]), r"\(=5\) has ids 0 to 4, but the inputs contain -1"),
        (torch.tensor([1.0]), r"the encoder \w+ reads one word id, .* of type torch.float32 and shape \(\)"),
        (torch.tensor([True]), "these inputs are of type torch.bool"),
        (torch.tensor([[1, 2]]), r"these inputs are of type torch.int64 and shape \(2,\)"),
    ],
)
def test_what_is_no_word_is_refused(kind, words, message):
    with pytest.raises(ValueError, match=message):
        kind(5, 3)(words)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "^`vocabulary_size` must be given: these data have no `vocabulary_size`"),
        ({"vocabulary_size": 1}, r"`vocabulary_size` \(=1\) must be at least 2"),
        ({"vocabulary_size": 5, "output_size": 0}, r"`output_size` \(=0\) must be at least 1"),
        ({"vocabulary_size": 5, "word_dropout": 1.5}, r"`word_dropout` \(=1.5\) must be between 0 and 1"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Embed(**arguments)


def test_no_words_give_no_vectors():
    assert Embed(5, 3)(torch.zeros(0, dtype=torch.long)).shape == (0, 3)
