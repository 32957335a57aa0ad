"""Live updates: one poll of the store serves everybody who watches the same thing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

_POLL_SECONDS = 0.7
_QUEUED = 8
_BEAT_SECONDS = 10.0

# What is read in a thread: the event's data, or None where the thing has ended and its last state was told.
Source = Callable[[], "Update"]


@dataclass(frozen=True)
class Update:
    """One state of a watched thing: what to tell, and whether it is the last."""

    data: Any
    is_last: bool = False


@dataclass
class _Channel:
    listeners: set[asyncio.Queue[Update | None]] = field(default_factory=set)
    latest: Update | None = None
    task: asyncio.Task[None] | None = None


class Broadcasts:
    """Polls each watched thing while somebody listens. Belongs to one event loop."""

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Ends all streams."""
        self._closed.set()
        for channel in self._channels.values():
            for listener in channel.listeners:
                _offer(listener, None)

    async def listen(self, name: str, source: Source) -> AsyncIterator[Update]:
        """Yields each change of the thing of this name, its state now first."""
        channel = self._channels.setdefault(name, _Channel())
        listener: asyncio.Queue[Update | None] = asyncio.Queue(_QUEUED)
        channel.listeners.add(listener)
        if channel.latest is not None:
            _offer(listener, channel.latest)
        if channel.task is None:
            channel.task = asyncio.create_task(self._poll(name, channel, source))
        try:
            while not self._closed.is_set():
                update = await listener.get()
                if update is None:
                    return
                yield update
                if update.is_last:
                    return
        finally:
            channel.listeners.discard(listener)

    async def _poll(self, name: str, channel: _Channel, source: Source) -> None:
        try:
            while channel.listeners and not self._closed.is_set():
                update = await asyncio.to_thread(source)
                if channel.latest is None or update.data != channel.latest.data or update.is_last:
                    channel.latest = update
                    for listener in channel.listeners:
                        _offer(listener, update)
                if update.is_last:
                    return
                await asyncio.sleep(_POLL_SECONDS)
        except Exception:
            for listener in channel.listeners:
                _offer(listener, None)
            raise
        finally:
            # Who comes later starts anew.
            if self._channels.get(name) is channel:
                del self._channels[name]


def stream(request: Request, updates: AsyncIterator[Update]) -> StreamingResponse:
    """Server-sent events of updates; a comment now and then shows that the connection lives."""

    async def lines() -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        iterator = updates.__aiter__()
        pending: asyncio.Task[Update] | None = None
        try:
            while True:
                pending = pending or asyncio.ensure_future(anext(iterator))
                done, _ = await asyncio.wait({pending}, timeout=_BEAT_SECONDS)
                if not done:
                    yield ": still here\n\n"
                    continue
                try:
                    update = pending.result()
                except StopAsyncIteration:
                    return
                pending = None
                event = "last" if update.is_last else "update"
                yield f"event: {event}\ndata: {json.dumps(update.data)}\n\n"
                if update.is_last:
                    return
        finally:
            if pending is not None:
                pending.cancel()

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _offer(listener: asyncio.Queue[Update | None], update: Update | None) -> None:
    """Hands an update on; a listener that lags behind loses old ones, never the newest."""
    while listener.full():
        listener.get_nowait()
    listener.put_nowait(update)
