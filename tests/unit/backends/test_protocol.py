"""Messages between scheduler and zygote: whole, in order, however the bytes arrive."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.backends.local import protocol


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def read_all(reader: protocol.Reader, count: int) -> list[protocol.Message]:
    found: list[protocol.Message] = []
    while len(found) < count:
        messages = reader.read()
        assert messages is not None
        found += messages
    return found


def test_messages_arrive_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    for number in range(3):
        protocol.send(pair[0], {"event": "ready", "number": number})
    assert [message["number"] for message in read_all(protocol.Reader(pair[1]), 3)] == [0, 1, 2]


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=4), min_size=1, max_size=5))
def test_any_message_arrives_whole_when_its_bytes_come_one_by_one(messages: list[protocol.Message]) -> None:
    left, right = socket.socketpair()
    collector, source = socket.socketpair()
    with left, right, collector, source:
        for message in messages:
            protocol.send(source, message)
        source.shutdown(socket.SHUT_WR)
        reader = protocol.Reader(right)
        found: list[protocol.Message] = []
        while byte := collector.recv(1):
            left.send(byte)
            found += reader.read() or []
    assert found == messages


def test_the_other_side_gone_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    assert protocol.Reader(pair[1]).read() is None


def test_a_length_no_message_has_is_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].send(struct.pack("!I", 0xFFFFFFFF) + b"x")
    with pytest.raises(ValueError, match="bytes"):
        protocol.Reader(pair[1]).read()
