from __future__ import annotations

from typing import Any

import pytest

import trio_nodehttp as http
from tests._server.kit import hello, serving

Request = http.IncomingMessage
Response = http.ServerResponse


async def attempt(call: Any, response: Response) -> None:
    result = call(response)
    if result is not response:
        await result


async def refusals(handler_calls: list[Any]) -> list[Exception]:
    """Collect what calls on a response raise; it must be usable afterwards."""
    errors: list[Exception] = []

    async def handler(request: Request, response: Response) -> None:
        for call in handler_calls:
            with pytest.raises(http.HTTPError) as caught:
                await attempt(call, response)
            errors.append(caught.value)
        await response.end("fine")

    async with serving(handler) as served:
        answer = await (await served.connect()).get()
        assert (answer.status, answer.body) == (200, b"fine")
    return errors


async def test_a_bad_start_line_leaves_the_response_usable(autojump_clock: Any) -> None:
    errors = await refusals(
        [
            lambda response: response.write_head(True),
            lambda response: response.write_head("200"),
            lambda response: response.write_head(99),
            lambda response: response.write_head(1000),
            lambda response: response.write_head(200, "ok\r\nX: 1"),
            lambda response: response.write_head(200, "\u010d"),
        ]
    )
    codes = [error.code for error in errors if isinstance(error, http.HTTPError)]
    assert codes == ["ERR_HTTP_INVALID_STATUS_CODE"] * 4 + ["ERR_INVALID_CHAR"] * 2


async def test_bad_hints_leave_the_response_usable(autojump_clock: Any) -> None:
    errors = await refusals(
        [
            lambda response: response.write_early_hints("</a>"),
            lambda response: response.write_early_hints({"link": 5}),
            lambda response: response.write_early_hints({"link": "not a link"}),
            lambda response: response.write_early_hints({"link": ["</a>; rel=x", 5]}),
        ]
    )
    types = [type(error) for error in errors]
    assert types == [http.InvalidArgTypeError] * 2 + [http.InvalidArgValueError] * 2


async def test_a_status_message_that_is_no_text(autojump_clock: Any) -> None:
    errors: list[http.HTTPError] = []

    async def handler(request: Request, response: Response) -> None:
        response.status_message = 5  # type: ignore[assignment]
        with pytest.raises(http.InvalidArgTypeError, match="status_message") as caught:
            await response.end()
        errors.append(caught.value)
        response.status_message = ""
        await response.end()

    async with serving(handler) as served:
        assert (await (await served.connect()).get()).status == 200
    assert len(errors) == 1


async def test_no_informational_response_behind_the_head(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        await response.flush_headers()
        for call in (response.write_continue, response.write_processing):
            with pytest.raises(http.HeadersSentError):
                await call()
        await response.end(repr(response))

    async with serving(handler) as served:
        answer = await (await served.connect()).get()
        assert answer.body == b"<ServerResponse 200 open sent=0>"


async def test_a_response_has_one_socket(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        with pytest.raises(http.SocketAssignedError):
            response.assign_socket(request.socket)
        other = http.ServerResponse(request)
        other.assign_socket(request.socket)
        assert other.socket is request.socket
        assert repr(response).startswith("<ServerResponse 200 open")
        await response.end()
        assert repr(response).startswith("<ServerResponse 200 ended")

    async with serving(handler) as served:
        assert (await (await served.connect()).get()).status == 200


async def test_a_websocket_that_fails_is_a_line_in_the_log(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request, stream: Any) -> None:
        raise http.WebSocketError("a peer's fault")

    async with serving(hello) as served:
        served.server.on("upgrade", fail)
        client = await served.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        assert await client.until_end() == b""
    assert [bool(record.exc_info) for record in caplog.records] == [False]
