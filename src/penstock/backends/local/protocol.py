"""Messages between the scheduler and the zygote: JSON objects over a Unix socket, each after its length.

Scheduler to zygote:
    {"do": "start", "job": id, "kind": "compile" | "execute" | "ping", "request": {...}, "log": path, "cwd": path,
     "env": {...}, "sys_path": [...]}
    {"do": "kill", "job": id, "signal": number}
    {"do": "load", "modules": [name, ...]}   loads packages that the jobs to come will import
    {"do": "stop"}   ends the zygote as soon as nobody is connected
Zygote to scheduler:
    {"event": "ready", "pid": its process id, "idle_seconds": how long it stays when nobody is connected}
    {"event": "started", "job": id, "pid": number}
    {"event": "ended", "job": id, "status": wait status, "outcome": {...} | null,
     "usage": {"cpu_seconds": of the job and the processes it waited for, "peak_bytes": resident memory of the largest}}
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_HEADER = struct.Struct("!I")
# A compiled pipeline of 2,000 nodes is some 10 MB; anything far beyond is no message of ours.
MAX_BYTES = 512 * 1024 * 1024

Message = dict[str, Any]


def send(connection: socket.socket, message: Message) -> None:
    """Sends one message whole."""
    content = json.dumps(message).encode()
    connection.sendall(_HEADER.pack(len(content)) + content)


class Reader:
    """Puts messages together from what a socket has ready."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._buffer = bytearray()

    def read(self) -> list[Message] | None:
        """Receives once and returns the messages that are complete, or None when the other side is gone.

        Raises:
            ValueError: if the bytes are no messages.
        """
        try:
            content = self._connection.recv(1 << 20)
        except ConnectionError:
            return None
        if not content:
            return None
        self._buffer += content
        messages = []
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            if length > MAX_BYTES:
                raise ValueError(f"message of {length} bytes; at most {MAX_BYTES} are allowed")
            if len(self._buffer) < _HEADER.size + length:
                break
            messages.append(json.loads(self._buffer[_HEADER.size : _HEADER.size + length]))
            del self._buffer[: _HEADER.size + length]
        return messages
