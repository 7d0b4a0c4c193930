"""Rows of Node's tables: what `request` refuses before anything is sent."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import trio_nodehttp as http
from tests._server.kit import hello, serving

Request = http.IncomingMessage
Response = http.ServerResponse
URL = "http://a.test/"


@pytest.mark.node("test-http-client-check-http-token.js")
@pytest.mark.node_api("http.request|method", "ClientRequest|request.method")
async def test_a_method_is_a_string(autojump_clock: Any) -> None:
    wrong: Any
    for wrong in (-1, 1, 0, {}, True, False, ["GET"], b"GET"):
        with pytest.raises(http.InvalidArgTypeError, match="method") as caught:
            http.request(URL, method=wrong)
        assert isinstance(caught.value, TypeError)
        assert caught.value.code == "ERR_INVALID_ARG_TYPE"
    seen = []

    async def handler(request: Request, response: Response) -> None:
        seen.append(request.method)
        await response.end()

    async with serving(handler) as served, served.agent() as agent:
        for options in ({}, {"method": None}, {"method": "GET"}, {"method": "post"}):
            async with http.request(URL, agent=agent, **options) as request:
                await request.end()
                await (await request.get_response()).read()
                assert request.method == seen[-1]
    assert seen == ["GET", "GET", "GET", "POST"]


@pytest.mark.node("test-http-request-invalid-method-error.js")
async def test_a_method_is_a_token() -> None:
    for wrong in ("\0", "GE T", "GET\r\n", "G@T", "\u0100"):
        with pytest.raises(http.InvalidHTTPTokenError, match="valid HTTP token") as caught:
            http.request(URL, method=wrong)
        assert caught.value.code == "ERR_INVALID_HTTP_TOKEN"
        assert isinstance(caught.value, TypeError)


@pytest.mark.node("test-http-client-headers-host-array.js")
@pytest.mark.node_api("http.request|headers")
@pytest.mark.parametrize("hosts", [[], ["a.test"], ["a.test", "b.test"]])
@pytest.mark.parametrize("name", ["Host", "host", "HOST"])
async def test_a_host_is_no_list(name: str, hosts: list[str]) -> None:
    with pytest.raises(http.InvalidArgTypeError, match="host must be a string") as caught:
        http.request(URL, headers={name: hosts})
    assert caught.value.code == "ERR_INVALID_ARG_TYPE"


@pytest.mark.node("test-http-client-invalid-path.js")
@pytest.mark.node_api("http.request|path")
async def test_a_path_beyond_latin_1() -> None:
    for wrong in ("/thisisinvalid\uffe2", "/\u0100", "/\U0001f600"):
        for ask in (
            lambda path: http.request(URL, path=path),
            lambda path: http.get(URL, path=path),
        ):
            with pytest.raises(http.UnescapedCharactersError) as caught:
                ask(wrong)
            assert caught.value.code == "ERR_UNESCAPED_CHARACTERS"


@pytest.mark.node("test-http-client-unescaped-path.js")
async def test_a_path_with_a_control_character() -> None:
    for code in range(0x21):
        with pytest.raises(http.UnescapedCharactersError) as caught:
            http.request(URL, path=f"/bad{chr(code)}path")
        assert caught.value.code == "ERR_UNESCAPED_CHARACTERS"
        assert "Request path contains unescaped characters" in str(caught.value)
        assert isinstance(caught.value, TypeError)
    for code in range(0x21, 0x100):
        path = f"/good{chr(code)}path"
        assert http.request(URL, path=path).path == path


@pytest.mark.node("test-http-client-path-toctou.js")
@pytest.mark.node_api("ClientRequest|request.path")
async def test_a_path_is_checked_when_it_is_assigned(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        await response.end(request.url)

    async with (
        serving(handler) as served,
        served.agent() as agent,
        http.request(URL + "valid", agent=agent) as request,
    ):
        for wrong in ("/a\r\nX: y", "/a\rb", "/a\nb", "/a\0b", "/a b", "/\u0100"):
            with pytest.raises(http.UnescapedCharactersError) as caught:
                request.path = wrong
            assert caught.value.code == "ERR_UNESCAPED_CHARACTERS"
            assert request.path == "/valid"
        with pytest.raises(http.InvalidArgTypeError):
            request.path = b"/bytes"  # type: ignore[assignment]
        request.path = "/also?valid"
        await request.end()
        assert await (await request.get_response()).text() == "/also?valid"


@pytest.mark.node("test-http-client-reject-unexpected-agent.js")
@pytest.mark.node_api("http.request|agent", "http|http.globalAgent")
async def test_what_may_be_an_agent(autojump_clock: Any) -> None:
    wrong: Any
    for wrong in (True, "agent", "", {}, 1, 0, hello, lambda: None, object()):
        with pytest.raises(http.InvalidArgTypeError, match="agent") as caught:
            http.request(URL, agent=wrong)
        assert caught.value.code == "ERR_INVALID_ARG_TYPE"
    async with serving(hello) as served, served.agent() as agent:
        connect = served.network.create_connection
        for options in (
            {"agent": agent},
            {"agent": None, "create_connection": connect},
            {"agent": False, "create_connection": connect},
            {"create_connection": connect},
            {"agent": http.global_agent, "create_connection": connect},
        ):
            async with http.get(URL, **options) as response:
                assert await response.text() == "hello"


@pytest.mark.node("test-http-header-obstext.js")
async def test_latin_1_in_a_header(autojump_clock: Any) -> None:
    seen = []

    async def handler(request: Request, response: Response) -> None:
        seen.append(request.headers["x-city"])
        await response.end("ok")

    headers = {"X-City": "D\u00fcsseldorf"}
    async with (
        serving(handler) as served,
        served.agent() as agent,
        http.get(URL, headers=headers, agent=agent) as response,
    ):
        assert response.status_code == 200
        assert await response.text() == "ok"
    assert seen == ["D\u00fcsseldorf"]


@pytest.mark.node("test-http-hostname-typechecking.js")
@pytest.mark.node_api("http.request|host", "http.request|hostname")
async def test_a_host_is_a_string(autojump_clock: Any) -> None:
    day = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
    wrong: Any
    for wrong in ({}, [], float("nan"), float("inf"), 1, 0, True, False, day, b"a.test", object()):
        for name in ("hostname", "host"):
            with pytest.raises(http.InvalidArgTypeError, match=rf"^{name} must be") as caught:
                http.request(**{name: wrong})
            assert caught.value.code == "ERR_INVALID_ARG_TYPE"
    async with serving(hello) as served:
        served.network.listen("localhost", 80, served.server.serve_stream)
        connect = served.network.create_connection
        for options in ({}, {"hostname": None}, {"host": None}, {"hostname": ""}, {"host": ""}):
            async with http.get(create_connection=connect, **options) as response:
                assert await response.text() == "hello"


@pytest.mark.node("test-http-invalidheaderfield.js")
async def test_header_names_and_numbers(autojump_clock: Any) -> None:
    seen = []

    async def handler(request: Request, response: Response) -> None:
        seen.append((request.headers["testing_123"], request.headers["x-number"]))
        with pytest.raises(TypeError) as caught:
            response.set_header("testing 123", 123)
        assert getattr(caught.value, "code", "") == "ERR_INVALID_HTTP_TOKEN"
        response.set_header("testing_123", 123)
        await response.end("hello")

    async with serving(handler) as served, served.agent() as agent:
        with pytest.raises(http.InvalidHTTPTokenError, match="testing 123"):
            http.request(URL, headers={"testing 123": 123}, agent=agent)
        good = {"testing_123": 123, "X-Number": 4.5}
        async with http.get(URL, headers=good, agent=agent) as response:
            assert response.headers["testing_123"] == "123"
            assert await response.text() == "hello"
    assert seen == [("123", "4.5")]


GOOD_NAMES = "TCN ETag date alt-svc Content-Type 0 Set-Cookie2 Set_Cookie foo`bar^ foo|bar ~foobar FooBar! #Foo $et-Cookie %%Test%% Test&123 It's_fun 2*3 4+2 3.14159265359 Link"
BAD_NAMES = [
    ":",
    "::",
    ":alternate-protocol",
    "alternate-protocol:",
    "foo\nbar",
    "foo\rbar",
    "foo\r\nbar",
    "foo\0bar",
    "\x7f",
    "[2]",
    "]",
    "@",
    "foo(bar)",
    "a,b",
    "a;b",
    'a"b',
    "a/b",
    "a?b",
    "a=b",
    "{a}",
    "<a>",
    "a\\b",
    " a",
    "a ",
    "\t",
    "",
    "caf\u00e9",
    "\u4e2d\u6587",
    "a\u0100",
]
GOOD_VALUES = [
    "foo bar",
    "foo\tbar",
    "0123456789ABCdef",
    "!@#$%^&*()-_=+\\;':\"[]{}<>,./?|~`",
    "",
    "\x80\xff",
]
BAD_VALUES = [
    "foo\rbar",
    "foo\nbar",
    "foo\r\nbar",
    "foo\r\n bar",
    "\0",
    "foo\x7fbar",
    "foo\x0bbar",
    "foo\abar",
    "\x1f",
    "foo\u4e2dbar",
    "\u0100",
    "Ding!\x07",
]


@pytest.mark.node("test-http-invalidheaderfield2.js")
@pytest.mark.node_api(
    "http|http.validateHeaderName(name[, label])", "http|http.validateHeaderValue(name, value)"
)
def test_tables_of_names_and_values() -> None:
    for name in GOOD_NAMES.split():
        http.validate_header_name(name)
        assert http.request(URL, headers={name: "x"}).get_header(name) == "x"
    for name in BAD_NAMES:
        with pytest.raises(http.InvalidHTTPTokenError) as token:
            http.validate_header_name(name)
        assert token.value.code == "ERR_INVALID_HTTP_TOKEN"
        assert str(token.value).startswith("Header name must be a valid HTTP token")
        with pytest.raises(http.InvalidHTTPTokenError):
            http.request(URL, headers={name: "x"})
    for value in GOOD_VALUES:
        http.validate_header_value("x", value)
        assert http.request(URL, headers={"x": value}).get_header("x") == value
    for value in BAD_VALUES:
        with pytest.raises(http.InvalidCharError) as char:
            http.validate_header_value("x", value)
        assert char.value.code == "ERR_INVALID_CHAR"
        with pytest.raises(http.InvalidCharError):
            http.request(URL, headers={"x": ["good", value]})
    with pytest.raises(http.InvalidHTTPTokenError, match=r"^Field must"):
        http.validate_header_name("a b", "Field")
