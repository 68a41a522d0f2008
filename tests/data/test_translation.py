from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seqsum.data import Batch, Translation
from seqsum.data.pairs.translated import TranslatedTexts
from seqsum.data.text import END, PADDING, UNKNOWN
from seqsum.data.translation import OWN
from seqsum.errors import InputError
from tests.data.device_only import DEVICES, DeviceOnly
from tests.data.pairs.written import write_multi30k, write_sentences


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_multi30k(tmp_path_factory.mktemp("data"))


@pytest.fixture(params=["words", "subwords"])
def tokens(request: pytest.FixtureRequest) -> str:
    if request.param == "subwords":
        pytest.importorskip("sentencepiece")
    return request.param


def made(root: Path, **options) -> Translation:
    data = Translation(root=str(root), batch_size=8, **options)
    data.prepare_data()
    data.setup("fit")
    return data


def epoch_of(data: Translation, split: str = "train", epoch: int = 0) -> list[Batch]:
    loader = getattr(data, f"{split}_dataloader")()
    loader.sampler.set_epoch(epoch)
    return [data.gather(table) for table in loader]


def read_back(data: Translation, batch: Batch) -> list[tuple[str, str]]:
    """Decode what a batch holds."""
    vocabularies, rows = data.vocabularies, zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)
    return [(vocabularies.source.decode(source), vocabularies.target.decode(target)) for source, target in rows]


# Batches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [("de", "en"), ("en", "de")])
def test_batches_hold_every_pair_once_with_its_translation(root, tokens, direction):
    data = made(root, source=direction[0], target=direction[1], tokens=tokens, vocabulary_size=200, min_count=None)
    for split, count in (("train", 300), ("val", 40), ("test", 50)):
        seen = []
        for batch in epoch_of(data, split):
            rows = batch.rows.flatten().tolist()
            assert read_back(data, batch) == [data.pair_of(split, row) for row in rows]
            seen += rows
        assert sorted(seen) == list(range(count))


@pytest.mark.parametrize("count", [3, 60])
def test_a_test_on_other_pairs_learns_no_words_of_them(root, tokens, count, tmp_path):
    """Those of the checkpoint, which comes after `setup`, are known, however few pairs there are."""
    trained = made(root, tokens=tokens, vocabulary_size=200)
    pairs = [trained.pair_of("train", row) for row in range(count)]
    (tmp_path / "few.txt").write_text("".join(f"{pair.source}\t{pair.target}\n" for pair in pairs))
    few = Translation(pairs=str(tmp_path / "few.txt"), tokens=tokens, vocabulary_size=200)
    few.prepare_data()
    few.setup("test")
    few.load_state_dict(trained.state_dict())
    for batch in epoch_of(few, "test"):
        assert read_back(trained, batch) == [few.pair_of("test", row) for row in batch.rows.flatten().tolist()]


def test_a_training_that_goes_on_reads_by_the_words_of_its_checkpoint(root):
    """They come after `setup` has learned others."""
    trained, resumed = made(root, vocabulary_size=60), made(root, vocabulary_size=200)
    before = [batch.inputs for batch in epoch_of(resumed)]
    resumed.load_state_dict(trained.state_dict())
    resumed.setup("fit")  # for a second training
    for split in ("train", "val"):
        for ours, theirs in zip(epoch_of(resumed, split), epoch_of(trained, split), strict=True):
            assert torch.equal(ours.inputs, theirs.inputs)
            assert torch.equal(ours.targets, theirs.targets)
    after = [batch.inputs for batch in epoch_of(resumed)]
    assert not all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_sentences_end_with_the_end_and_padding_comes_behind_it(root, tokens):
    data = made(root, tokens=tokens)
    for batch in epoch_of(data):
        for ids, mask in ((batch.inputs, batch.mask), (batch.targets, batch.target_mask)):
            assert ids.dtype == torch.int64
            assert ids.shape == mask.shape
            for row, exists in zip(ids.tolist(), mask.tolist(), strict=True):
                assert exists == sorted(exists, reverse=True)
                length = sum(exists)
                assert row.index(END) == length - 1
                assert set(row[length:]) <= {PADDING}
        assert batch.scored is batch.target_mask


def test_batches_are_as_long_as_their_longest_source_and_target(root):
    data = made(root)
    batches = epoch_of(data)
    for batch in batches:
        assert batch.mask.sum(1).max() == batch.inputs.shape[1]
        assert batch.target_mask.sum(1).max() == batch.targets.shape[1]
    assert any(batch.inputs.shape != batch.targets.shape for batch in batches)
    for split in ("train", "val"):
        masks = [mask for batch in epoch_of(data, split) for mask in (batch.mask, batch.target_mask)]
        padded = sum(int((~mask).sum()) for mask in masks) / sum(mask.numel() for mask in masks)
        assert data.padding_share(split) == pytest.approx(padded, abs=1e-12)
    assert data.padding_share("train") < 0.2


def test_epochs_differ_in_order_alone_and_the_same_epoch_repeats(root):
    data = made(root, seed=3)
    first, again, later = (epoch_of(data, epoch=epoch) for epoch in (0, 0, 1))
    assert [batch.rows.tolist() for batch in first] == [batch.rows.tolist() for batch in again]
    assert [batch.rows.tolist() for batch in first] != [batch.rows.tolist() for batch in later]
    other = epoch_of(made(root, seed=4))
    assert [batch.rows.tolist() for batch in first] != [batch.rows.tolist() for batch in other]
    assert [b.rows.tolist() for b in epoch_of(data, "val", 0)] == [b.rows.tolist() for b in epoch_of(data, "val", 5)]


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_read_the_pairs_that_one_would(root, processes):
    data = made(root)
    for table in data.train_dataloader():
        whole = data.gather(table)
        for rank in range(processes):
            share = slice(rank, None, processes)
            part = data.gather(table._replace(share=share))
            assert all(torch.equal(ours, theirs[share]) for ours, theirs in zip(part[:4], whole[:4], strict=True))
    empty = data.gather(table._replace(share=slice(len(table.rows), None, processes)))
    assert (empty.inputs.shape, empty.targets.shape) == ((0, table.steps), (0, table.target_steps))


def test_batches_are_made_on_the_device(root, device):
    data = made(root)
    table = next(iter(data.train_dataloader()))
    here, there = data.gather(table), data.gather(table._replace(rows=table.rows.to(device)))
    assert there.inputs.device.type == device
    assert all(torch.equal(ours, theirs.cpu()) for ours, theirs in zip(here[:5], there[:5], strict=True))


@pytest.mark.parametrize("device", DEVICES)
def test_a_gpu_would_not_wait_for_the_host(root, device):
    data = made(root)
    table = next(iter(data.train_dataloader()))
    table = table._replace(rows=table.rows.to(device))
    data.gather(table)  # moves the split to the device
    with DeviceOnly(device):
        batch = data.gather(table)
    assert batch.targets.shape == (8, table.target_steps)


# Vocabularies ---------------------------------------------------------------------------------------------


def test_each_language_has_its_own_vocabulary_of_the_training_sentences(tmp_path):
    folder = write_multi30k(tmp_path) / "multi30k"
    write_sentences(folder / "train.de.gz", ["Ein Hund!", "ein Mann!", "ein Hund"])
    write_sentences(folder / "train.en.gz", ["a dog!", "a man!", "A dog"])
    data = made(tmp_path)
    source, target = (each.vocabulary.words[4:] for each in data.vocabularies)
    assert source == ["ein", "!", "hund"]
    assert target == ["a", "!", "dog"]
    assert data.vocabularies.source.encode("Ein Mann!") == [4, UNKNOWN, 5]
    cased = made(tmp_path, lower_case=False, min_count=1, vocabulary_size=(7, 6))
    assert cased.vocabularies.source.vocabulary.words[4:] == ["!", "Hund", "ein"]
    assert cased.vocabularies.target.vocabulary.words[4:] == ["!", "a"]


def test_networks_follow_the_sizes_of_both_vocabularies():
    both = {"source_vocabulary_size": 8_000, "target_vocabulary_size": 6_000}
    assert Translation.sizes({"vocabulary_size": [8_000, 6_000]}) == both
    assert set(Translation.sizes({"vocabulary_size": 500}).values()) == {500}


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_vocabularies_of_a_checkpoint_are_used_whenever_it_is_read(root, tmp_path, tokens, order):
    trained = made(root, tokens=tokens, vocabulary_size=60)
    write_multi30k(tmp_path, counts=(30, 40, 50))
    data = Translation(root=str(tmp_path), tokens=tokens, batch_size=8)
    if order == "before":
        data.load_state_dict(trained.state_dict())
    data.setup("test")
    if order == "after":
        assert [len(each) for each in data.vocabularies] != [len(each) for each in trained.vocabularies]
        data.load_state_dict(trained.state_dict())
    for ours, theirs in zip(epoch_of(data, "test"), epoch_of(trained, "test"), strict=True):
        assert torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.targets, theirs.targets)


def test_a_checkpoint_of_other_pieces_is_an_error(root):
    state = made(root).state_dict()
    with pytest.raises(InputError, match=r"`--data\.tokens` \(=subwords\) must be words, as the checkpoint"):
        Translation(tokens="subwords").load_state_dict(state)
    with pytest.raises(InputError, match=r"`--data\.lower_case` \(=False\) must be True, as the checkpoint"):
        Translation(lower_case=False).load_state_dict(state)


# Which pairs ----------------------------------------------------------------------------------------------


def test_long_sentences_are_left_out_of_training_alone_and_counted(root):
    data, whole = made(root, max_length=8), made(root, max_length=None)
    longer = [
        max(len(vocabulary.split(text)) for vocabulary, text in zip(whole.vocabularies, pair, strict=True)) > 8
        for pair in (whole.pair_of("train", row) for row in range(300))
    ]
    kept = [whole.pair_of("train", row) for row in range(300) if not longer[row]]
    assert 0 < len(kept) < 300
    assert [data.pair_of("train", row) for row in range(data.count("train"))] == kept
    for batch in epoch_of(data):
        assert read_back(data, batch) == [data.pair_of("train", row) for row in batch.rows.flatten().tolist()]
    assert (data.count("val"), data.count("test")) == (40, 50)
    assert f"; {sum(longer)} training pairs longer than 8 words left out" in data.describe()
    assert "left out" not in whole.describe()


def test_auto_is_made_up_with_a_loud_warning_when_there_are_no_real_pairs(tmp_path):
    data = Translation(root=str(tmp_path / "new"), source="fr")
    with pytest.warns(UserWarning, match=r"NOT REAL SENTENCES.*`--data\.root` .*does not hold Multi30k\. Put train"):
        data.prepare_data()
    data.setup("fit")
    assert data.dataset == "made"
    assert data.languages == ("made", "en")
    assert "made sentence pairs, made to en (4,000 train, 250 val, 250 test), 63 and 41 ids of" in data.describe()
    assert not (tmp_path / "new").exists()


def test_the_share_of_unknown_words_is_said_and_where_it_is_large_what_to_do(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("".join(f"a b c{n}\tx y{n} z w v{n % 2}\n" for n in range(100)))
    said = made(tmp_path, pairs=str(path), source=1).describe()
    assert "; 33.3 and 20.0 % of the training's are unknown: `--data.tokens=subwords` has pieces of all" in said
    path.write_text("".join(f"a c{n % 10} d{n // 10}\tx y z w v{n}\n" for n in range(100)))
    assert (
        made(tmp_path, pairs=str(path), source=1).describe().endswith("; 0.0 and 20.0 % of the training's are unknown")
    )


def test_own_pairs_are_trained_on(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("".join(f"Satz {n}\tsentence {n}\tsomebody\n" for n in range(100)))
    data = made(tmp_path, pairs=str(path), min_count=1, source=1)
    assert data.dataset == "pairs"
    assert data.pair_of("train", 0).source.startswith("satz")
    assert "column 1 to column 2 (80 train, 10 val, 10 test)" in data.describe()
    assert made(tmp_path, pairs=str(path), lower_case=False).pair_of("train", 0).source.startswith("Satz")


@pytest.mark.parametrize("lower_case", [True, False])
def test_references_are_spelt_as_a_network_can_write(tmp_path, tokens, lower_case):
    """Or BLEU would count the spelling of every apostrophe as a mistake."""
    words = ["It’s", "the dog\u200b’s", "cafe\u0301", "pet\u00adit\u00a0déjeuner"]
    lines = [" ".join(words[(n >> k) % 4] for k in range(0, 8, 2)) for n in range(256)]
    path = tmp_path / "own.txt"
    path.write_text("".join(f"{line}\t{' '.join(line.split(' ')[::-1])}\n" for line in lines))
    options = {"vocabulary_size": 100} if tokens == "subwords" else {"min_count": 1}
    data = made(tmp_path, pairs=str(path), source=1, tokens=tokens, lower_case=lower_case, **options)
    for batch in epoch_of(data, "test"):
        assert read_back(data, batch) == [data.pair_of("test", row) for row in batch.rows.flatten().tolist()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "wmt"}, r"`--data\.dataset` \(='wmt'\) must be one of"),
        ({"tokens": "letters"}, r"`--data\.tokens` \(='letters'\) must be one of"),
        ({"dataset": "made", "pairs": "own.txt"}, r"`--data\.dataset` \(=made\) must be left out with"),
        ({"dataset": "pairs"}, r"`--data\.dataset` \(=pairs\) needs the file of your own `--data\.pairs`"),
        ({"tokens": "subwords", "min_count": 2}, r"`--data\.min_count` \(=2\) is for words"),
        ({"vocabulary_size": 4}, r"`--data\.vocabulary_size` \(=4\) must be at least 5"),
        ({"vocabulary_size": (9, 4)}, r"`--data\.vocabulary_size` \(=4\) must be at least 5"),
        ({"min_count": 0}, r"`--data\.min_count` \(=0\) must be at least 1"),
        ({"max_length": 0}, r"`--data\.max_length` \(=0\) must be at least 1"),
        ({"max_length": 1}, r"`--data\.max_length` \(=1\) leaves no pair to train on"),
        ({"batch_size": 0}, r"`--data\.batch_size` \(=0\) must be at least 1"),
        ({"dataset": "multi30k", "root": "nowhere"}, r"`--data\.root` \(=nowhere\) does not hold Multi30k"),
    ],
)
def test_a_wrong_choice_is_named(root, options, message):
    with pytest.raises(InputError, match=message):
        Translation(**{"root": str(root), **options}).setup("fit")


# A user's own sentences -----------------------------------------------------------------------------------


def test_own_sentences_are_read_by_the_vocabulary_of_the_checkpoint(root, tmp_path, tokens):
    trained = made(root, tokens=tokens)
    (tmp_path / "own.txt").write_text("Hund  kati vidan.\n\nXylophon fintan!\n")
    data = Translation(tokens=tokens, texts=[str(tmp_path / "own.txt"), "Nun hund"])
    data.setup("predict")  # before the checkpoint is read, as Lightning does
    data.load_state_dict(trained.state_dict())
    assert [text.source.removeprefix(f"{tmp_path}/") for text in data.own.texts] == [
        "own.txt, line 1",
        "own.txt, line 3",
        "“Nun hund”",
    ]
    assert isinstance(data, TranslatedTexts)
    assert data.languages == ("de", "en")
    source = trained.vocabularies.source
    (batch,) = data.predict_dataloader()
    assert batch.targets.shape == (3, 0)
    for text, row, valid, sentence in zip(
        data.own.texts,
        batch.inputs,
        batch.mask,
        ("hund kati vidan.", "xylophon fintan!", "nun hund"),
        strict=True,
    ):
        ids = [*source.encode(sentence), END]
        assert row.tolist() == ids + [PADDING] * (len(row) - len(ids))
        assert valid.tolist() == [True] * len(ids) + [False] * (len(row) - len(ids))
        alone = data.as_batch(text)
        assert alone.inputs.tolist() == [ids]
        assert bool(alone.mask.all())
        words = data.words_read(text)
        assert source.join(words) == sentence, "unknown words are kept"
        assert data.known(words) == [number != UNKNOWN for number in ids[:-1]]
    assert not all(data.known(data.words_read(data.own.texts[1])))


def test_many_own_sentences_are_served_in_their_order(root):
    data = made(root, texts=[f"Hund {n}" for n in range(OWN + 2)])
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert [len(batch.inputs) for batch in batches] == [OWN, 2]
    rows = [row[valid].tolist() for batch in batches for row, valid in zip(batch.inputs, batch.mask, strict=True)]
    assert rows == [data.as_batch(text).inputs[0].tolist() for text in data.own.texts]


@pytest.mark.parametrize("empty", ["", " ", "\n", "\u200b", " \u2060\u00ad "])
def test_an_empty_text_is_not_the_current_folder(root, tmp_path, monkeypatch, empty):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.txt").write_text("Hund")
    data = made(root, texts=["Nun hund", empty])
    data.setup("predict")
    assert [text.source for text in data.own.texts] == ["“Nun hund”"]
    assert [skipped.reason for skipped in data.own.skipped] == ["has no words"]


def test_no_sentence_is_an_error():
    with pytest.raises(InputError, match=r"`--data\.texts` must give a sentence"):
        Translation().setup("predict")


# Checkpoints ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "given", "message"),
    [
        ("test", ("en", "de"), r"`--data\.source` \(=en\) must be de, as in the checkpoint's training"),
        ("predict", ("en", "de"), r"`--data\.source` \(=en\) must be de, as in the checkpoint's training"),
        ("predict", (None, "fr"), r"`--data\.target` \(=fr\) must be en, as in the checkpoint's training"),
    ],
)
def test_languages_other_than_the_checkpoints_are_refused(root, stage, given, message):
    data = Translation(root=str(root), texts=["Hund"], source=given[0], target=given[1])
    data.setup(stage)
    with pytest.raises(InputError, match=message):
        data.load_state_dict(made(root).state_dict())


def test_own_pairs_may_be_in_the_checkpoints_languages(root, tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("".join(f"a\tb {n}\n" for n in range(50)) + "".join(f"hund {n}\tdog {n}\n" for n in range(50)))
    own = Translation(pairs=str(path), source=1, target=2)
    own.setup("test")
    own.load_state_dict(made(root).state_dict())
    assert own.languages == ("column 1", "column 2")
    other = Translation(root=str(root))
    other.setup("test")
    other.load_state_dict(own.state_dict())


# The real sentences ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "target", "ids"),
    [("de", "en", "7,883 and 5,900"), ("en", "fr", "5,900 and 6,436"), ("fr", "de", "6,436 and 7,883")],
)
def test_the_real_sentences_are_all_read_and_survive_being_split_and_joined(real_root, source, target, ids):
    if not (real_root / "multi30k").exists():
        pytest.skip("SEQSUM_DATA holds no Multi30k")
    data = made(real_root, source=source, target=target, max_length=None)
    assert f"{source} to {target} (29,000 train, 1,014 val, 1,000 test), {ids}" in data.describe()
    vocabulary = data.vocabularies.target
    texts = [data.pair_of("train", row).target for row in range(29_000)]
    changed = [text for text in texts if "".join(vocabulary.join(vocabulary.split(text)).split()) != joined(text)]
    assert len(changed) < 15
    inner = [text for text in texts if apart(vocabulary.join(vocabulary.split(text))) != apart(text)]
    assert len(inner) < 40


def joined(text: str) -> str:
    return "".join(text.replace("’", "'").split())


def apart(text: str) -> str:
    """Write spaces at the symbols that sacrebleu's rule sets apart; at others, spaces count."""
    for symbol in '.,;:!?()[]{}"&/%#$=@`':
        text = text.replace(symbol, f" {symbol} ")
    return " ".join(text.replace("’", "'").split())
