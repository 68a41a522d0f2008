"""From the bytes of a file to words."""

from __future__ import annotations

import codecs
import re

RULE = "1"  # changes with the rule, so that caches of another rule are not used

MARKUP = re.compile(r"</?[a-z][^<>]*>")
WORD = re.compile(r"\w+(?:'\w+)*|[!?]")
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class NotTextError(ValueError):
    """The bytes are no text, or in another encoding; the message completes "the file …"."""


def tokenize(text: str) -> list[str]:
    """Split a text into words: in lower case, without markup and punctuation, but with `!` and `?`.

    A word is a run of letters, digits and underscores; apostrophes inside it belong to it, as in `don't`.
    """
    return WORD.findall(MARKUP.sub(" ", text.lower().replace("’", "'")))


def decode(content: bytes) -> str:
    """Decode the content of a text file: UTF-8, or UTF-16 with a byte order mark.

    Where all lines end with a carriage return alone, as old Macs and some spreadsheets write them, each becomes a
    line feed.

    Raises:
        NotTextError: It is binary, or in another encoding.
    """
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise NotTextError("is no text: it has zero bytes") from error
        before = content[: error.start]
        end = b"\n" if b"\n" in content else b"\r"
        line, place = before.count(end) + 1, error.start - before.rfind(end)
        where = f"at place {place}" + (f" of line {line}" if line > 1 else "")
        raise NotTextError(f"is not UTF-8 text: byte {content[error.start]:#04x} {where}; save it as UTF-8") from error
    if "\0" in text:
        raise NotTextError("is no text: it has zero bytes")
    return text if "\n" in text else text.replace("\r", "\n")
