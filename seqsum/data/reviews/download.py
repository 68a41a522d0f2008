"""Downloads the Large Movie Review Dataset from its official place."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets.utils import download_url

from seqsum.data.downloads import downloading
from seqsum.files import move

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"


def download_corpus(root: Path) -> Path:
    """Download the archive, 80 MB, into `root`, and return its path.

    Raises:
        MissingDataError: The download failed, or its checksum is wrong.
    """
    name = URL.rpartition("/")[2]
    with downloading("aclImdb.tar.gz or the folder aclImdb", root) as fresh:
        download_url(URL, fresh, name, MD5)
        move(fresh / name, root / name)
    return root / name
