"""Answers that carry an object or a range of it: the same for plain HTTP and S3."""

from __future__ import annotations

from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

from benchmarks.faults import spoiling
from benchmarks.faults.folder import Content, Folder
from benchmarks.faults.messages import Answer, Piece, Request, http_date, matches, parse_range
from benchmarks.faults.plan import Fault, FaultPlan, Kind


class RefusedError(Exception):
    """An answer that is an error; each side has its own form for it.

    Args:
        status: of the answer.
        code: what S3 calls it.
        headers: of the answer.
    """

    def __init__(self, status: HTTPStatus, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.headers = headers or {}


class Objects:
    """Opens objects; knows which were asked for before, and which were replaced since."""

    def __init__(self, folder: Folder, plan: FaultPlan) -> None:
        self._folder = folder
        self._plan = plan
        self._seen: set[Path] = set()
        self._replaced: set[Path] = set()

    def answer(self, name: str, request: Request, fault: Fault, files: ExitStack) -> Answer:
        """The answer to a GET or HEAD for the object `name`; its file is open as long as `files`.

        Raises:
            RefusedError: the range or the condition does not hold.
            FileNotFoundError, IsADirectoryError: there is no such object.
        """
        content = self._as_faults_have_it(name, files.enter_context(self._folder.opened(name)), fault)
        condition = request.headers.get("if-match")
        if condition is not None and not matches(content.tag, condition):
            raise RefusedError(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": content.tag,
            "Last-Modified": http_date(content.modified),
            "Accept-Ranges": "bytes",
        }
        asked = request.headers.get("range")
        if asked is None or fault.kind is Kind.IGNORE_RANGE or request.method == "HEAD":
            found = None  # the meaning of a range is defined for GET only
        else:
            found = parse_range(asked, content.size)
        if found is None:
            piece = Piece(content.source, 0, content.size)
            return Answer(HTTPStatus.OK, headers, _spoiled(piece, fault))
        start, end = found
        if start == end:
            told = {"Content-Range": f"bytes */{content.size}"}
            raise RefusedError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange", told)
        if fault.kind is Kind.WRONG_RANGE:
            start, end = spoiling.another_range(start, end, content.size)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
        return Answer(HTTPStatus.PARTIAL_CONTENT, headers, _spoiled(Piece(content.source, start, end), fault))

    def _as_faults_have_it(self, name: str, content: Content, fault: Fault) -> Content:
        path = self._folder.path_of(name)
        if fault.kind is Kind.CHANGED_ETAG and path in self._seen:
            self._replaced.add(path)
        self._seen.add(path)
        if path in self._replaced:
            content = spoiling.replaced(content, invert=self._plan.changed_content)
        if fault.kind is Kind.GZIP_BOMB:
            content = spoiling.bombed(content, self._plan.bomb_bytes)
        return content


def _spoiled(piece: Piece, fault: Fault) -> tuple[Piece, ...]:
    if fault.kind is Kind.FLIP:
        return spoiling.flipped(piece, fault.place)
    if fault.kind is Kind.SHIFTED:
        return spoiling.shifted(piece)
    return (piece,)
