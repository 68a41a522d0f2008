"""Sentences and their translations into another language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.utils.rnn import pad_sequence

from seqsum.data.base import Batch, Split, unlabelled
from seqsum.data.buckets import BucketBatches
from seqsum.data.index_tables import IndexBatch, IndexBatches
from seqsum.data.indexed import IndexedData
from seqsum.data.pairs import ParallelText, SentencePair, obtain_pairs
from seqsum.data.pairs.encoded import EncodedPairs, encode_pairs
from seqsum.data.pairs.vocabularies import MIN_COUNT, Splitting, Vocabularies
from seqsum.data.text import END, PADDING, UNKNOWN
from seqsum.data.text.own import OwnText, OwnTexts, read_texts
from seqsum.data.text.ragged import pad
from seqsum.data.text.sentences import normalise
from seqsum.data.text.vocabulary import WRITTEN
from seqsum.errors import InputError, check_at_least, check_choice

MANY_UNKNOWN = 0.2  # share of words from which on other pieces are proposed
OWN = 32  # most of a user's sentences that are translated at once
Dataset = Literal["auto", "multi30k", "made", "pairs"]
Tokens = Literal["words", "subwords"]


class Translation(IndexedData):
    """Sentences and their translations: Multi30k (Elliott et al., 2016, 2017), or a user's own pairs.

    Inputs are ids of the source sentence and `END`, `(B, S)`; targets are ids of its translation and `END`, `(B, T)`.
    Each language has its own vocabulary; in both, 0 is padding (`PADDING`), 1 an unknown word (`UNKNOWN`), 2 the start
    (`START`) and 3 the end (`END`). Padding comes behind the end, `mask` and `target_mask` are False there. What a
    decoder reads is not in the batch: `seqsum.data.text.sentences.decoder_inputs` makes it of the targets.

    Args:
        dataset: `multi30k`; `made`, a made-up language and its translation into English; or `auto`, which is
            `pairs` if they are given, else `multi30k` if `root` holds it, else `made`.
        root: Folder whose folder `multi30k` has files such as `train.de.gz`.
        source: Language to translate from: `de`, `en` or `fr` of Multi30k, by default `de`; `made` or `en` of the
            made-up pairs, by default `made`; of your own pairs the number of the column, by default 1.
        target: Language to translate into, likewise; by default `en`, or column 2.
        pairs: A file of your own pairs instead of a dataset: one pair a line, with tabs between its columns. Other
            columns, such as attributions, are ignored. A tenth of the pairs is held out for validation and another
            for the test, at most 1,000 each, and no sentence is in two splits.
        lower_case: Whether sentences are read and written in lower case.
        tokens: What sentences are split into: `words` and punctuation, or `subwords`, for which sentencepiece is
            needed.
        vocabulary_size: Most ids of each language, or of the source and the target, such as [8000, 6000]; four are
            special, the others are of the most frequent words of the training sentences, or of subwords.
        min_count: How often a word must come in the training sentences to be known; 2 by default. Not for subwords.
        max_length: Most words or subwords of a training sentence: pairs with a longer one are not trained on, but
            validated and tested. Null for no limit.
        batch_size: Pairs per batch on each device, `B`. Each batch has pairs of a similar length.
        seed: Seed of the order in training; the command line passes `seed_everything`.
        texts: For `predict`: text files of one sentence a line, folders of them, patterns, or a sentence itself.
    """

    trained_with = ("tokens", "lower_case")
    languages: SentencePair  # their names
    own: OwnTexts

    def __init__(
        self,
        dataset: Dataset = "auto",
        root: str = "data",
        source: str | int | None = None,
        target: str | int | None = None,
        pairs: str | None = None,
        lower_case: bool = True,
        tokens: Tokens = "words",
        vocabulary_size: int | tuple[int, int] = 8_000,
        min_count: int | None = None,
        max_length: int | None = 50,
        batch_size: int = 64,
        seed: int = 0,
        texts: str | list[str] | None = None,
    ) -> None:
        super().__init__((1, 1), batch_size, seed)
        check_choice("--data.dataset", dataset, Dataset)
        check_choice("--data.tokens", tokens, Tokens)
        if pairs is not None and dataset not in ("auto", "pairs"):
            raise InputError(
                f"`--data.dataset` (={dataset}) must be left out with your own `--data.pairs` (={pairs}): "
                "`--data.pairs=null` takes back those of a checkpoint"
            )
        if pairs is None and dataset == "pairs":
            raise InputError("`--data.dataset` (=pairs) needs the file of your own `--data.pairs`")
        if min_count is not None and tokens == "subwords":
            raise InputError(f"`--data.min_count` (={min_count}) is for words, not for `--data.tokens` (=subwords)")
        sizes = _both(vocabulary_size)
        for flag, limit, least in (
            ("vocabulary_size", min(sizes), len(WRITTEN) + 1),
            ("min_count", min_count, 1),
            ("max_length", max_length, 1),
        ):
            if limit is not None:
                check_at_least(f"--data.{flag}", limit, least)
        self.save_hyperparameters(ignore=["texts"])
        self.dataset: str = dataset
        self.root = root
        self.pairs = pairs
        self.given_languages = [None if given is None else str(given) for given in (source, target)]
        self.max_length = max_length
        self.split_into = Splitting(tokens, lower_case, sizes, MIN_COUNT if min_count is None else min_count)
        self.texts = [texts] if isinstance(texts, str) else texts or []
        self.own = OwnTexts([], [], [])
        self.languages = SentencePair("source", "target")  # until `setup` or a checkpoint says it
        self.parallel: ParallelText | None = None
        self._vocabularies: Vocabularies | None = None
        self._encoded: dict[Split, EncodedPairs] = {}

    @classmethod
    def sizes(cls, settings: Mapping[str, Any]) -> dict[str, int]:
        """Return the number of ids of each language: `source_vocabulary_size` and `target_vocabulary_size`."""
        if (size := settings.get("vocabulary_size")) is None:  # a class of a user's own may have no such argument
            return {}
        source, target = _both(size)
        return {"source_vocabulary_size": source, "target_vocabulary_size": target}

    def setup(self, stage: str) -> None:
        if stage == "predict":
            self.own = self.own if self.own.texts else self._read_texts()
        else:
            # a test's vocabularies come from the checkpoint, only after this
            self.parallel, self._vocabularies = self.read_once(self._learn if stage == "fit" else self._know)
            self.dataset, self.languages, _ = self.parallel
            if stage == "fit" and not self.encoded["train"].size:
                raise InputError(f"`--data.max_length` (={self.max_length}) leaves no pair to train on")

    def load(self) -> None:
        """Read the pairs, and set `dataset` and `languages` to theirs."""
        self.parallel = self._read()
        self.dataset = self.parallel.name

    def _read(self) -> ParallelText:
        return self.parallel or obtain_pairs(self.dataset, Path(self.root), self.pairs, *self.given_languages)

    def _know(self) -> tuple[ParallelText, Vocabularies | None]:
        """Read the pairs, unless that was done before; return the vocabularies, too, if there are any yet."""
        return self._read(), self._vocabularies

    def _learn(self) -> tuple[ParallelText, Vocabularies]:
        """Read the pairs, unless that was done before, and make the vocabularies, unless a checkpoint brought them."""
        parallel = self._read()
        return parallel, self._vocabularies or self.split_into.learn(parallel.splits["train"])

    @property
    def encoded(self) -> dict[Split, EncodedPairs]:
        """All splits by the ids of the vocabularies."""
        if not self._encoded:
            assert self.parallel is not None, "`setup` has read it"
            for split, pairs in self.parallel.splits.items():
                longest = self.max_length if split == "train" else None
                self._encoded[split] = encode_pairs(pairs, self.vocabularies, longest)
        return self._encoded

    @property
    def vocabularies(self) -> Vocabularies:
        """What the network knows of each language, `source` and `target`."""
        if self._vocabularies is None:
            if self.parallel is None:
                raise RuntimeError("the vocabularies are made by `setup`, or come from a checkpoint")
            _, self._vocabularies = self._learn()
        return self._vocabularies

    def state_dict(self) -> dict[str, Any]:
        """Return the vocabularies, for checkpoints: the network's weights mean nothing without them."""
        return {"languages": list(self.languages), **self.split_into.save(self.vocabularies)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Encode everything by the vocabularies of a checkpoint.

        Raises:
            InputError: The checkpoint is of other languages, which these vocabularies don't have, or of other pieces.
        """
        self.check_trained_with(state_dict)
        languages = SentencePair(*state_dict["languages"])
        self._check_languages(languages)
        self._vocabularies = self.split_into.restore(state_dict)
        self._encoded = {}
        if self.parallel is None:
            self.languages = languages

    def _check_languages(self, known: SentencePair) -> None:
        """Check the languages, or as many as are given, against those of a checkpoint."""
        wanted = self.given_languages if self.parallel is None else self.languages
        for side, name, other in zip(SentencePair._fields, wanted, known, strict=True):
            # columns of a user's own pairs have no names: they may be in any language
            if name is not None and name != other and not any(map(_is_column, (name, other))):
                raise InputError(f"`--data.{side}` (={name}) must be {other}, as in the checkpoint's training")

    def count(self, split: Split) -> int:
        return self.encoded[split].size

    def make_sampler(self, split: Split, seed: int, rank: int, processes: int) -> IndexBatches:
        """Make the sampler, which puts pairs of similar length together."""
        lengths, of_targets = self.encoded[split].lengths()
        return BucketBatches(split, lengths, self.batch_size, seed, rank, processes, target_lengths=of_targets)

    def gather(self, batch: IndexBatch) -> Batch:
        """Turn this process's rows of an index table `(B, 1)` into ids of sources `(B, S)` and targets `(B, T)`."""
        pairs = self._pairs_on(batch.split, batch.rows.device)
        rows = batch.rows[batch.share].squeeze(-1)
        padded = []
        for sentences, steps in ((pairs.source, batch.steps), (pairs.target, batch.target_steps)):
            assert steps is not None, "the sampler of this class sets it"
            starts = sentences.offsets[rows]
            padded.append(pad(sentences.values, starts, sentences.offsets[rows + 1] - starts, steps))
        (inputs, mask), (targets, target_mask) = padded
        return Batch(inputs.long(), targets.long(), mask, target_mask, batch.rows)

    def _pairs_on(self, split: Split, device: torch.device) -> EncodedPairs:
        """Return a split, moved to the device on first use."""
        pairs = self.encoded[split]
        if pairs.source.values.device != device:
            pairs = self.encoded[split] = pairs.to(device)
        return pairs

    def padding_share(self, split: Split) -> float:
        """Compute the share of padding among the source and target steps of an epoch, the first for `train`."""
        lengths, of_targets = self.encoded[split].lengths()
        tables = [*self._dataloader(split)]
        computed = sum(len(table.rows) * ((table.steps or 0) + (table.target_steps or 0)) for table in tables)
        return 1 - int((lengths + of_targets).sum()) / computed

    def _read_texts(self) -> OwnTexts:
        if not self.texts:
            raise InputError("`--data.texts` must give a sentence to translate: a file, a folder, or the sentence")
        # only at spaces: the checkpoint's vocabulary, by which sentences are split, is not there yet
        return read_texts(self.texts, lambda text: normalise(text, lower_case=False).split(), by_line=True)

    def pair_of(self, split: Split, row: int) -> SentencePair:
        """Return the sentences of a row as networks read and write them, see `normalise`."""
        pair = self.encoded[split].text_of(row)
        return SentencePair(*(normalise(text, self.split_into.lower_case) for text in pair))

    def words_read(self, text: OwnText) -> list[str]:
        """Return the pieces of a user's sentence that the network reads, known or not."""
        return self.vocabularies.source.split(" ".join(text.words))

    def known(self, words: Sequence[str]) -> list[bool]:
        """Return for each piece of a source whether it is in the network's vocabulary."""
        return [number != UNKNOWN for number in self.vocabularies.source.look_up(words)]

    def as_batch(self, text: OwnText) -> Batch:
        """Make an unlabelled batch of one sentence, inputs `(1, S)`: its pieces, then `END`; on the CPU."""
        return self._as_batch([text])

    def _as_batch(self, texts: Sequence[OwnText]) -> Batch:
        ids = [[*self.vocabularies.source.look_up(self.words_read(text)), END] for text in texts]
        valid = [torch.ones(len(of_text), dtype=torch.bool) for of_text in ids]
        padded = pad_sequence(list(map(torch.tensor, ids)), batch_first=True, padding_value=PADDING)
        return unlabelled(padded, pad_sequence(valid, batch_first=True))

    def own_batches(self) -> list[Batch]:
        """Serve the user's sentences in their order, inputs `(B, S)`."""
        texts = self.own.texts
        return [self._as_batch(texts[start : start + OWN]) for start in range(0, len(texts), OWN)]

    def describe(self) -> str:
        counts = ", ".join(f"{encoded.size:,} {split}" for split, encoded in self.encoded.items())
        pieces, lower_case, *_ = self.split_into
        known = " and ".join(f"{len(each):,}" for each in self.vocabularies)
        text = f"{self.dataset} sentence pairs, {' to '.join(self.languages)} ({counts}), {known} ids of "
        text += f"{'lower-case ' if lower_case else ''}{pieces}"
        unknown = self.encoded["train"].unknown()
        if any(unknown):
            text += f"; {' and '.join(f'{100 * share:.1f}' for share in unknown)} % of the training's are unknown"
            text += ": `--data.tokens=subwords` has pieces of all" if max(unknown) > MANY_UNKNOWN else ""
        if left_out := self.encoded["train"].left_out:
            pairs = "pair" if left_out == 1 else "pairs"
            text += f"; {left_out:,} training {pairs} longer than {self.max_length} {pieces} left out"
        return text


def _is_column(language: str) -> bool:
    return language.removeprefix("column ").isdecimal()


def _both(size: int | Sequence[int]) -> tuple[int, int]:
    """Return the sizes of both vocabularies."""
    source, target = (size, size) if isinstance(size, int) else size
    return source, target
