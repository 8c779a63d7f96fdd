"""Indexes of folders: those of the servers there are, and what is none."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from restore.errors import (
    AccessDeniedError,
    EmptyStorageError,
    RestoreError,
    StorageUnavailableError,
    TransientStorageError,
)
from restore.report.events import silent
from restore.storage.http import HttpClient
from restore.storage.http_listing import parse_html_index, parse_json_index
from restore.storage.http_origin import HttpOrigin
from tests.contracts.reading import ODD_HANDLES
from tests.storage.listing import list_names, list_tags
from tests.storage.scripted_http import Reply, ScriptedServer, reply

# As the servers write them, shortened to what matters.

NGINX_JSON = b"""[
{ "name":"deeper", "type":"directory", "mtime":"Thu, 26 Nov 2026 16:28:10 GMT" },
{ "name":"link", "type":"other", "mtime":"Thu, 26 Nov 2026 16:28:10 GMT" },
{ "name":"a.meta", "type":"file", "mtime":"Thu, 26 Nov 2026 16:28:10 GMT", "size":5 },
{ "name":"b \\u2603.meta", "type":"file", "mtime":"Thu, 26 Nov 2026 16:28:10 GMT", "size":5 }
]
"""

CADDY_JSON = b"""[{"name":"deeper/","size":4096,"url":"./deeper/","mod_time":"2026-11-26T16:28:10Z",\
"mode":2147484141,"is_dir":true,"is_symlink":false},{"name":"a.meta","size":5,"url":"./a.meta",\
"mod_time":"2026-11-26T16:28:10Z","mode":420,"is_dir":false,"is_symlink":false},\
{"name":"b \xe2\x98\x83.meta",\
"size":5,"url":"./b%20%E2%98%83.meta","mod_time":"2026-11-26T16:28:10Z","mode":420,"is_dir":false,\
"is_symlink":true}]
"""

NGINX = """<html>
<head><title>Index of /backup/metadata/</title></head>
<body>
<h1>Index of /backup/metadata/</h1><hr><pre><a href="../">../</a>
<a href="deeper/">deeper/</a>                                   26-Nov-2026 16:28       -
<a href="a.meta">a.meta</a>                                     26-Nov-2026 16:28       5
<a href="b%20%E2%98%83.meta">b \u2603.meta</a>                  26-Nov-2026 16:28       5
</pre><hr></body>
</html>
"""

APACHE = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<html>
 <head>
  <title>Index of /backup/metadata</title>
 </head>
 <body>
<h1>Index of /backup/metadata</h1>
  <table>
   <tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th><th><a href="?C=N;O=D">Name</a></th>
   <th><a href="?C=M;O=A">Last modified</a></th></tr>
   <tr><td><img src="/icons/back.gif" alt="[PARENTDIR]"></td><td><a href="/backup/">Parent</a></td></tr>
   <tr><td><img src="/icons/folder.gif" alt="[DIR]"></td><td><a href="deeper/">deeper/</a></td></tr>
   <tr><td><a href="a.meta"><img src="/icons/unknown.gif" alt="[   ]"></a></td>\
<td><a href="a.meta">a.meta</a></td><td align="right">2026-11-26 16:28  </td><td align="right">  5 </td></tr>
   <tr><td><img src="/icons/unknown.gif" alt="[   ]"></td>
   <td><a href="b%20%e2%98%83.meta">b \u2603.meta</a></td><td align="right">2026-11-26 16:28  </td>\
<td align="right">1.2K</td></tr>
</table>
<address>Apache/2.4.62 (Debian) Server at <a href="mailto:someone@example.org">here</a> Port 80</address>
</body></html>
"""

LIGHTTPD = """<!DOCTYPE html>
<html>
<head>
<title>Index of /backup/metadata/</title>
</head>
<body>
<h2>Index of /backup/metadata/</h2>
<table><tbody>
<tr class="d"><td class="n"><a href="../">..</a>/</td></tr>
<tr class="d"><td class="n"><a href="deeper/">deeper</a>/</td></tr>
<tr><td class="n"><a href="a.meta">a.meta</a></td><td class="m">2026-Nov-26 16:28:10</td>\
<td class="s">0.1K</td></tr>
<tr><td class="n"><a href="b%20%e2%98%83.meta">b \u2603.meta</a></td><td class="m">2026-Nov-26 16:28:10</td>\
<td class="s">1.2K</td></tr>
</tbody></table>
</body>
</html>
"""

NAMES = ["a.meta", "b \u2603.meta"]


@pytest.mark.parametrize(
    "body, tag",
    [(NGINX_JSON, '"Thu, 26 Nov 2026 16:28:10 GMT" 5'), (CADDY_JSON, '"2026-11-26T16:28:10Z" 5')],
)
def test_an_index_in_json_gives_its_files_with_date_and_size(body: bytes, tag: str) -> None:
    assert parse_json_index(body, file="metadata") == dict.fromkeys(NAMES, tag)
    assert parse_json_index(b"[]", file="metadata") == {}


@pytest.mark.parametrize(
    "told, tag",
    [
        ('"mtime": 17, "size": "5"', '17 "5"'),
        ('"mtime": "then"', ""),
        ('"size": 5', ""),
        ('"size": 0, "mod_time": null', "null 0"),
        ('"size": {"bytes": [5.0]}, "mtime": true', 'true {"bytes": [5.0]}'),
    ],
)
def test_what_an_index_tells_of_a_file_may_be_anything(told: str, tag: str) -> None:
    body = f'[{{"name": "a", {told}}}]'.encode()
    assert parse_json_index(body, file="metadata") == {"a": tag}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b'[{"type":"file"}]', NGINX_JSON[:-4], b"<html></html>"]
)
def test_json_that_is_cut_short_or_something_else_is_no_index(body: bytes) -> None:
    with pytest.raises(TransientStorageError) as refusal:
        parse_json_index(body, file="metadata")
    assert refusal.value.file == "metadata"


@pytest.mark.parametrize(
    "page, tags",
    [
        (NGINX, ["26-Nov-2026 16:28 5", "26-Nov-2026 16:28 5"]),
        (APACHE, ["2026-11-26 16:28 5", "2026-11-26 16:28 1.2K"]),
        (LIGHTTPD, ["2026-Nov-26 16:28:10 0.1K", "2026-Nov-26 16:28:10 1.2K"]),
    ],
)
def test_an_index_page_gives_the_files_that_it_links_to_with_date_and_size(
    page: str, tags: list[str]
) -> None:
    assert parse_html_index(page, file="metadata") == dict(zip(NAMES, tags, strict=True))


@pytest.mark.parametrize(
    "line, tag",
    [
        ("<li><a href='a'>name</a></li>\n<li>no link</li>", ""),
        ("<a href='a'>name</a> one <b>two</b>\t three\nfour <i>five</i> six", "one two three"),
        ("one <a href='a'>name</a> two <a href='b/'>b/</a> three", "two"),
        ("<a href='a'>x</a> two <a href='?C=N'>Name</a> three <a href='a'>y</a> four", "two four"),
    ],
)
def test_the_tag_of_a_link_is_what_its_line_says_behind_it(line: str, tag: str) -> None:
    page = f"<html><title>Index of /</title>{line}\n<address>server</address></html>"
    assert parse_html_index(page, file="metadata") == {"a": tag}


@pytest.mark.parametrize("page", [NGINX, APACHE, LIGHTTPD])
def test_a_page_that_is_cut_short_is_no_shorter_index(page: str) -> None:
    end = page.lower().rindex("</html")
    for length in range(page.index("</title>"), end + len("</html")):
        with pytest.raises(TransientStorageError):
            parse_html_index(page[:length], file="metadata")


def test_links_to_other_places_are_no_files() -> None:
    links = [
        "http://elsewhere/x.meta", "//elsewhere/x.meta", "/x.meta", "../x.meta", "deeper/x.meta", "..", ".",
        "", "?C=N", "x.meta?C=N", "mailto:x", "javascript:x()", "http://[", "%2e%2e", "..%2fx.meta", "#top",
    ]  # fmt: skip
    page = "".join(f'<a href="{link}">x</a>' for link in [*links, "./a.meta", "./b:c.meta", "d&amp;e.meta"])
    page = f"<html><title>Index of /</title><a>none</a><a name='b'>none</a><a href>none</a>{page}</html>"
    assert list(parse_html_index(page, file="metadata")) == ["a.meta", "b:c.meta", "d&e.meta"]


@pytest.mark.parametrize(
    "page",
    [
        "",
        "words",
        "<html><head><title>Log in</title></head><body><a href='a.meta'>a</a></body></html>",
        "<html><head><title>404</title></head><body><p>Index of pages: <a href='x'>x</a></p></body></html>",
    ],
)
def test_a_page_that_is_no_index_is_no_empty_one(page: str) -> None:
    with pytest.raises(StorageUnavailableError) as refusal:
        parse_html_index(page, file="metadata")
    assert type(refusal.value) is StorageUnavailableError
    assert "autoindex" in str(refusal.value.hint)


@pytest.mark.parametrize(
    "filler",
    [
        "<!",
        "<a ",
        "<a b='",
        "<h1>a<!-- -->",
        "&#",
        "</script",
        '<a href="',
        "<a  href",
        "<a href = ",
        "<>",
        "a>",
        "</a> x",
        "<a href='a'>",
        "<a href='a'></a>x\n",
    ],
)
def test_a_page_that_is_made_to_keep_a_parser_busy_does_not(filler: str) -> None:
    """A second is hundreds of times what this takes, and a hundredth of what a parser took."""
    page = f"<html><title>Index of /</title><a href='a'>a</a>{filler * (1_000_000 // len(filler))}</html>"
    began = time.process_time()
    with suppress(RestoreError):
        assert "a" in parse_html_index(page, file="metadata")
    assert time.process_time() - began < 1


def test_a_character_with_thousands_of_digits_is_none() -> None:
    page = f"<html><title>Index of /</title><a href='&#{'9' * 5000};'>x</a><a href='a'>a</a></html>"
    assert list(parse_html_index(page, file="metadata")) == ["a"]


class Bench:
    """An origin over a scripted server."""

    def __init__(self, server: ScriptedServer, client: HttpClient) -> None:
        self.server = server
        self.origin = HttpOrigin(f"{server.url}/backup", client)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with ScriptedServer([]) as server, HttpClient(report=silent) as client:
        yield Bench(server, client)


JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    "answer", [reply(200, NGINX_JSON, JSON), reply(200, CADDY_JSON, JSON), reply(200, NGINX.encode(), HTML)]
)
async def test_a_folder_is_asked_for_its_index(bench: Bench, answer: Reply) -> None:
    bench.server.replies = [answer]
    assert await list_names(bench.origin, "metadata") == NAMES
    (request,) = bench.server.requests
    assert (request.method, request.target) == ("GET", "/backup/metadata/")
    assert "application/json" in request.headers["accept"]


@pytest.mark.parametrize(
    "answer, kind",
    [
        (reply(404), EmptyStorageError),
        (reply(403), AccessDeniedError),
        (reply(500), TransientStorageError),
        (reply(200, b"<html><title>Down</title></html>", HTML), StorageUnavailableError),
        (reply(200, NGINX.encode()[:-20], HTML), TransientStorageError),
        (reply(200, NGINX_JSON[:-4], JSON), TransientStorageError),
        (reply(200, NGINX_JSON, JSON, length=len(NGINX_JSON) + 1, end="close"), TransientStorageError),
        (reply(200, NGINX_JSON, HTML), StorageUnavailableError),
        (reply(301, headers={"Location": "ftp://127.0.0.1/"}), StorageUnavailableError),
    ],
)
async def test_a_listing_that_fails_is_never_an_empty_one(
    bench: Bench, answer: Reply, kind: type[RestoreError]
) -> None:
    bench.server.replies = [answer]
    with pytest.raises(RestoreError) as refusal:
        await list_names(bench.origin, "metadata")
    assert type(refusal.value) is kind
    if kind is EmptyStorageError:
        assert refusal.value.file == f"{bench.server.url}/backup/metadata/"
    if kind is AccessDeniedError:  # what nginx says of a folder that it may not list
        assert "autoindex" in refusal.value.hint


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def python_server(tmp_path: Path) -> Iterator[str]:
    """Python's own server over a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_python_s_own_server_is_understood(python_server: str, tmp_path: Path) -> None:
    names = {handle.partition("/")[2] for handle in ODD_HANDLES}

    def make() -> None:
        (tmp_path / "metadata" / "deeper").mkdir(parents=True)
        for name in names:
            (tmp_path / "metadata" / name).write_bytes(b"line\n")

    await asyncio.to_thread(make)
    async with HttpClient(report=silent) as client:
        tags = await list_tags(HttpOrigin(python_server, client), "metadata")
    assert tags == dict.fromkeys(names, "")
