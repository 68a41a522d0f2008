"""Multi30k, descriptions of pictures in several languages (Elliott et al., 2016, 2017)."""

from __future__ import annotations

from pathlib import Path

from seqsum.data.base import Split
from seqsum.data.downloads import MissingDataError
from seqsum.data.pairs.lines import read_lines
from seqsum.data.pairs.sentence_pairs import ParallelText, SentencePair, SentencePairs
from seqsum.errors import InputError

FOLDER = "multi30k"
FILES: dict[Split, str] = {"train": "train", "val": "val", "test": "test_2016_flickr"}


def read_multi30k(root: Path, languages: SentencePair) -> ParallelText:
    """Read the files of two languages, such as `train.de.gz`: raw text, one sentence a line.

    Args:
        root: Folder that holds `multi30k`, or this folder itself.
        languages: Languages by the ends of the files' names, such as `de` and `en`.

    Raises:
        MissingDataError: `root` holds no Multi30k.
        InputError: A language is missing, or a file is damaged or differs in length from its translation.
    """
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    found = sorted(path.name.split(".")[1] for path in folder.glob(f"{FILES['train']}.*.gz"))
    if not found:
        raise MissingDataError(_what_is_missing(root, languages))
    for name, language in languages._asdict().items():
        if language not in found:
            raise InputError(f"`--data.{name}` (={language}) must be one of the languages in {folder}: {found}")
    return ParallelText("multi30k", languages, {split: _read(folder, name, languages) for split, name in FILES.items()})


def _read(folder: Path, name: str, languages: SentencePair) -> SentencePairs:
    paths = [folder / f"{name}.{language}.gz" for language in languages]
    source, target = (read_lines(path, "--data.root") for path in paths)
    if len(source) != len(target):
        raise InputError(
            f"`--data.root`: {paths[0]} has {len(source):,} lines, but {paths[1]} has {len(target):,}: "
            "line by line, they must be translations of each other"
        )
    return SentencePairs(source, target)


def _what_is_missing(root: Path, languages: SentencePair) -> str:
    files = ", ".join(f"{name}.{language}.gz" for name in FILES.values() for language in languages)
    return (
        f"`--data.root` (={root}) does not hold Multi30k. Put {files} into {root / FOLDER}: the raw text of its first "
        "task, one sentence a line, from github.com/multi30k/dataset."
    )
