"""Headers of every version, as each fork reads them."""

from __future__ import annotations

import pytest

from darkparse.layers import DIALECTS
from darkparse.weights.header import Header, parse_version, read_header


@pytest.mark.parametrize(
    ("version", "pjreddie", "alexeyab"),
    [
        ((0, 0, 0), 16, 16),
        ((0, 1, 0), 16, 16),
        ((0, 2, 0), 20, 20),
        ((0, 2, 5), 20, 20),
        ((1, 0, 0), 20, 20),
        ((1001, 0, 0), 16, 20),
    ],
)
def test_header_width_follows_version_and_fork(version: tuple[int, int, int], pjreddie: int, alexeyab: int) -> None:
    for name, size in (("pjreddie", pjreddie), ("alexeyab", alexeyab)):
        header = Header.from_version(version, DIALECTS[name], seen=123)
        assert header.size == size
        assert read_header(header.pack() + bytes(8), DIALECTS[name]) == header


def test_header_version_above_1000_is_transposed() -> None:
    assert Header(1001).is_transposed
    assert Header(0, 1001).is_transposed
    assert not Header(1000, 0).is_transposed


def test_header_with_large_seen_round_trips() -> None:
    header = Header(seen=2**63 + 1)
    assert read_header(header.pack(), DIALECTS["pjreddie"]) == header


def test_header_pack_of_too_large_seen_raises() -> None:
    with pytest.raises(ValueError, match="at most 4,294,967,295 images seen"):
        Header(0, 1, 0, 2**32, 4).pack()


@pytest.mark.parametrize("size", [0, 11, 12, 15, 19])
def test_read_header_of_too_few_bytes_raises(size: int) -> None:
    with pytest.raises(ValueError, match=f"got {size}"):
        read_header(Header().pack()[:size], DIALECTS["pjreddie"])


def test_parse_version_accepts_two_or_three_numbers() -> None:
    assert parse_version("0.2") == (0, 2, 0)
    assert parse_version("0.2.5") == (0, 2, 5)
    with pytest.raises(ValueError, match=r"expected e\.g\. 0\.2\.5"):
        parse_version("two")


def test_header_without_numbers_is_that_of_version_0_2() -> None:
    assert (Header().version, Header().seen, Header().size) == ((0, 2, 0), 0, 20)
