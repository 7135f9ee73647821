"""Bytes to text: UTF-8, or UTF-16 where a mark or the pattern of the bytes proves it; nothing is guessed."""

import codecs
from pathlib import Path

from bench.errors import BenchError

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
SAMPLE = 4096


def content(path: Path) -> bytes:
    """The bytes of a file that a user named.

    Raises:
        BenchError: There is none, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BenchError(f"There is no file {path}.") from None
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}.") from None


def decoded(raw: bytes, file: str, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of a file without its byte order mark, and what is to be said of its encoding.

    Args:
        raw: The file's bytes.
        file: How messages call it.
        encoding: What the user says it is; None for UTF-8, or UTF-16 where the bytes show it.

    Raises:
        BenchError: It is in another encoding; the message names byte, line, and what it looks like.
    """
    if encoding is not None:
        return _as_told(raw, file, encoding), ()
    name = detected(raw)
    try:
        text = raw.decode(name)
    except UnicodeDecodeError as error:
        raise _undecodable(raw, file, name, error) from None
    notes = [*noted(name, file)]
    if "\n\ufeff" in text:
        line = text.count("\n", 0, text.index("\n\ufeff") + 1) + 1
        text = text.replace("\n\ufeff", "\n")
        notes.append(
            f"{file}, line {line}: a byte order mark inside the file, as where files were joined, was left out."
        )
    return text, tuple(notes)


def detected(head: bytes) -> str:
    """The encoding that the first `SAMPLE` bytes of a file show; UTF-8 where they show none."""
    return next((name for mark, name in MARKS.items() if head.startswith(mark)), None) or _sixteen(head) or "utf-8"


def noted(name: str, file: str) -> tuple[str, ...]:
    """What is to be said of an encoding that was found out."""
    return () if name.startswith("utf-8") else (f"{file} is {name.upper()}.",)


def _as_told(raw: bytes, file: str, encoding: str) -> str:
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise BenchError(f"There is no encoding '{encoding}': `encoding` takes utf-8, utf-16, windows-1252 …") from None
    except UnicodeDecodeError as error:
        line = _line(raw, error.start)
        raise BenchError(
            f"{file} is not {encoding}: byte 0x{raw[error.start]:02x} at offset {error.start} (line {line})."
        ) from None


def _sixteen(raw: bytes) -> str | None:
    """UTF-16 without a mark: half of the bytes are zero, and always the same half."""
    sample = raw[:SAMPLE]
    half = max(len(sample) // 2, 1)
    zeros = [sample[start::2].count(0) / half for start in (0, 1)]
    if min(zeros) > 0.05 or max(zeros) < 0.4:
        return None
    return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"


def _undecodable(raw: bytes, file: str, name: str, error: UnicodeDecodeError) -> BenchError:
    if name.startswith("utf-16"):
        return BenchError(f"{file} is a torn UTF-16 file ({error.reason} at offset {error.start}): get it again.")
    # the decoder counts from behind a byte order mark
    offset = error.start + len(raw) - len(error.object)
    return BenchError(
        f"{file} is not UTF-8: byte 0x{raw[offset]:02x} at offset {offset} (line {_line(raw, offset)}). Convert it to "
        f"UTF-8, or name its encoding with `encoding`{_looks(raw)}."
    )


def _looks(raw: bytes) -> str:
    """What the encoding may be, as the end of a sentence; only a guess, which is why it is not acted on."""
    from charset_normalizer import from_bytes

    found = from_bytes(raw[: 1 << 16]).best()
    if found is None:
        return ""
    # what old Windows programs write is a superset of what the guess is mostly called
    name = {"cp1252": "windows-1252", "latin_1": "windows-1252"}.get(found.encoding, found.encoding)
    return f" (it looks like {name}: see that accents come out right)"


def _line(raw: bytes, offset: int) -> int:
    return raw.count(b"\n", 0, offset) + 1
