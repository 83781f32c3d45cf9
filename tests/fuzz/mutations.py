"""Bytes a little wrong: what real samples become when they are cut, swapped, repeated and mixed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

# Numbers at which sizes and signs change, little and big endian, and what parsers stumble over.
_NUMBERS = tuple(
    number.to_bytes(size, order, signed=True)
    for size, numbers in (
        (1, (0, 1, -1, 127, -128)),
        (2, (0, 255, 256, -1, 32767)),
        (4, (0, 1, -1, 65536, 2**31 - 1)),
        (8, (0, -1, 2**63 - 1)),
    )
    for number in numbers
    for order in ("little", "big")
)
WORDS = (
    b"", b"\0", b"\xff\xfe",
    b"null", b"true", b"-1", b"0", b"1e309", b"-0.0", b"NaN", b"9" * 30, b"1.5",
    b'"', b"'", b"\\", b"\n", b"\r\n", b"\t", b",", b":", b": ", b"- ", b"[", b"]", b"{", b"}", b"[[[[",
    b"{}",
    b"&a", b"*a", b"!!python/object", b"<<", b"---", b"...", b"|", b">", b"#", b"${A}", b"${A:-b}", b"%",
    b"../", b"/etc/passwd", b"\xc3\x28", "é😀\u202e".encode(), b"\xed\xa0\x80", b"{{", b"}}", b"{%", b"%}",
    b"__class__", b"\\u0000", b"\\ud800", b"1" * 400,
)  # fmt: skip
MAX_BYTES = 1 << 16
# A word or number of a text, or a string with its quotes: what may take the place of another of its kind.
_TOKEN = re.compile(rb'"[^"]{0,40}"|[\w.+-]+')


def mutated(sample: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """One to eight changes, mostly few. At most MAX_BYTES long."""
    data = bytearray(sample)
    for _ in range(1 + int(random.expovariate(0.7)) % 8):
        random.choice(_CHANGES)(data, others, random)
    return bytes(data[:MAX_BYTES])


def _flip(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _byte(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _number(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    number = random.choice(_NUMBERS)
    start = random.randrange(len(data) + 1)
    data[start : start + len(number)] = number


def _word(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    start = random.randrange(len(data) + 1)
    data[start : start + random.choice((0, 0, 1, 4))] = random.choice(WORDS)


def _cut(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    start, size = _part(data, random)
    del data[start : start + size]


def _end(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    del data[random.randrange(len(data) + 1) :]


def _again(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    start, size = _part(data, random)
    place = random.randrange(len(data) + 1)
    data[place:place] = data[start : start + size] * random.choice((1, 1, 2, 8))


def _swap(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    (one, size), (other, _) = _part(data, random), _part(data, random)
    part = bytes(data[one : one + size])
    data[other : other + size] = part


def _splice(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    other = random.choice(others)
    start, size = _part(other, random)
    place = random.randrange(len(data) + 1)
    data[place : place + random.choice((0, size))] = other[start : start + size]


def _token(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    """What stays is a text of the same form, so that more of a parser is reached."""
    found = list(_TOKEN.finditer(data[:4096]))
    given = _TOKEN.findall(random.choice(others)[:4096])
    if found and given:
        start, end = random.choice(found).span()
        data[start:end] = random.choice((random.choice(given), random.choice(WORDS)))


def _part(data: bytes | bytearray, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(int(random.expovariate(0.05)) + 1, len(data) - start)


_CHANGES = (_flip, _byte, _number, _word, _cut, _end, _again, _swap, _splice, *[_token] * 8)
