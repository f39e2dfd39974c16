"""The HTTP server: one thread with its own event loop, so that sync and async tests can use it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from . import hostile
from .keys import SEEN_IP, KeySpec
from .registry import EXCHANGES, SAMPLE_KEYS
from .wire import Exchange, Reply, Request, World

ANY: Final = "*"
NO_SUCH_HOST: Final = Reply(502, "no exchange is simulated under this host")
GRACE_S: Final = 0.1  # for answers under way when the simulator stops


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in: names only, so that no secret gets into a test's output."""

    method: str
    host: str
    path: str
    query_names: tuple[str, ...]
    header_names: tuple[str, ...]
    dangerous: bool


class Simulator:
    """All simulated exchanges on one port. A context manager; `start` and `stop` do the same.

    Keys and recorded answers may be changed from any thread while it runs.
    """

    def __init__(
        self,
        port: int = 0,
        keys: Iterable[KeySpec] = SAMPLE_KEYS,
        *,
        host: str = "127.0.0.1",
        seen_ip: str = SEEN_IP,
    ) -> None:
        self.host, self.port = host, port
        self.world = World({}, seen_ip)
        self._hosts: dict[str, Exchange] = {
            name: exchange for exchange in EXCHANGES for name in exchange.hosts
        }
        self._recorded: dict[tuple[str, str, str], Reply] = {}
        self._seen: list[Seen] = []
        for key in keys:
            self.add(key)

    # --- running -------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Returns once connections are accepted. Raises OSError where the port is taken."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._run(self._open())
        except OSError:
            self._end_thread()
            raise
        return self

    def stop(self) -> None:
        """Ends within a second, whatever answers are under way."""
        self._run(self._close())
        self._end_thread()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=5)

    async def _open(self) -> None:
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=GRACE_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        await self._runner.cleanup()
        # aiohttp forgets the answers whose connection broke a moment ago.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- keys ----------------------------------------------------------------------------

    def add(self, key: KeySpec) -> None:
        """Raises ValueError where the API key is already known."""
        if key.api_key in self.world.keys:
            raise ValueError(f"the API key of {key.scenario} is already known")
        self.world.keys[key.api_key] = key

    def remove(self, api_key: str) -> None:
        del self.world.keys[api_key]

    def change(self, api_key: str, **fields: Any) -> KeySpec:
        """The key with other fields from now on, as if edited at the exchange."""
        changed = replace(self.world.keys[api_key], **fields)
        self.world.keys[api_key] = changed
        return changed

    # --- recorded answers ----------------------------------------------------------------

    def answer(
        self,
        method: str,
        path: str,
        status: int,
        body: Any,
        host: str | None = None,
        headers: Mapping[str, str] | None = None,
        reason: str = "",
    ) -> None:
        """Answers so from now on, whoever asks. Text and bytes are sent as they are, anything
        else as JSON. `path` and `method` may be "*"; no `host` means every host."""
        self._recorded[method, host or ANY, path] = Reply(status, body, headers or {}, reason)

    def clear_answers(self) -> None:
        self._recorded.clear()

    def _recorded_for(self, request: Request) -> Reply | None:
        """The most exactly named one: path before host before method."""
        for path in (request.path, ANY):
            for host in (request.host, ANY):
                for method in (request.method, ANY):
                    if reply := self._recorded.get((method, host, path)):
                        return reply
        return None

    # --- what was asked ------------------------------------------------------------------

    @property
    def log(self) -> list[Seen]:
        """A copy: the requests so far, oldest first."""
        return list(self._seen)

    def requests_to(self, path: str) -> list[Seen]:
        return [seen for seen in self.log if seen.path == path]

    @property
    def dangerous_requests(self) -> list[Seen]:
        """Requests that would have changed something at the exchange."""
        return [seen for seen in self.log if seen.dangerous]

    def clear_log(self) -> None:
        self._seen.clear()

    def _note(self, request: Request, exchange: Exchange | None) -> None:
        endpoint = exchange.endpoint(request) if exchange else None
        self._seen.append(
            Seen(
                request.method,
                request.host,
                request.path,
                tuple(request.params),
                tuple(request.headers),
                bool(endpoint and endpoint.dangerous),
            )
        )

    # --- answering -----------------------------------------------------------------------

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        request = await _read(http)
        exchange = self._hosts.get(request.host)
        self._note(request, exchange)
        if recorded := self._recorded_for(request):
            return _response(recorded)
        if exchange is None:
            return _response(NO_SUCH_HOST)
        key = exchange.key_behind(request, self.world)
        await asyncio.sleep(key.delay_s if key else 0)
        reply = exchange.reply(request, self.world)
        mode = hostile.MODES.get(key.fault or "") if key else None
        try:
            return await mode(http, reply) if mode else _response(reply)
        except ConnectionResetError:  # the client has left, as a careful one does
            return web.Response()


async def _read(http: web.BaseRequest) -> Request:
    # The raw path: signatures cover it as it was sent, so it must not be normalised.
    target, _, query = http.raw_path.partition("?")
    host, _, path = target.lstrip("/").partition("/")
    body = (await http.read()).decode("utf-8", "replace")
    return Request(http.method, host, f"/{path}", query, http.headers, body)


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    reason = reply.reason or None
    return web.Response(status=reply.status, reason=reason, body=reply.content, headers=headers)
