"""The plain side: files, and indexes of folders as nginx writes them with `autoindex_format json`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from http import HTTPStatus
from urllib.parse import quote

from benchmarks.faults import spoiling
from benchmarks.faults.folder import Entry, Folder
from benchmarks.faults.messages import Answer, Request, http_date, text_answer
from benchmarks.faults.objects import Objects, RefusedError
from benchmarks.faults.plan import Fault, FaultPlan, Kind


class PlainSide:
    """Answers GET and HEAD below `/`."""

    def __init__(self, folder: Folder, objects: Objects, plan: FaultPlan) -> None:
        self._folder = folder
        self._objects = objects
        self._plan = plan

    def answer(self, request: Request, fault: Fault, files: ExitStack) -> Answer:
        """The answer to `request`; its files are open as long as `files`."""
        try:
            if request.method not in {"GET", "HEAD"}:
                raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "", {"Allow": "GET, HEAD"})
            if request.path.endswith("/"):
                return self._index(request.path, fault)
            return self._objects.answer(request.path, request, fault, files)
        except IsADirectoryError:
            return Answer(HTTPStatus.MOVED_PERMANENTLY, {"Location": quote(request.path) + "/"})
        except FileNotFoundError:
            return self.error(RefusedError(HTTPStatus.NOT_FOUND, ""))
        except RefusedError as error:
            return self.error(error)

    def error(self, error: RefusedError) -> Answer:
        """How an error is told here."""
        answer = text_answer(error.status, f"{error.status} {error.status.phrase}\n", "text/plain")
        answer.headers.update(error.headers)
        return answer

    def _index(self, path: str, fault: Fault) -> Answer:
        entries = self._folder.index(path)
        if fault.kind is Kind.STALE_LIST:
            entries = spoiling.without_newest(entries, self._plan.stale_entries)
        if fault.kind is Kind.DUPLICATE:
            entries = spoiling.with_double(entries, fault.place)
        lines = ",\n".join(_line(entry) for entry in entries)
        answer = text_answer(HTTPStatus.OK, f"[\n{lines}\n]", "application/json")
        return spoiling.partial(answer, fault.place) if fault.kind is Kind.PARTIAL_LIST else answer


def _line(entry: Entry) -> str:
    stat = entry.path.stat()
    line: dict[str, str | int] = {
        "name": entry.name,
        "type": "directory" if entry.is_folder else "file",
        "mtime": http_date(stat.st_mtime),
    }
    if not entry.is_folder:
        line["size"] = stat.st_size
    return json.dumps(line)
