"""The S3 side, path style: objects, ListObjectsV2, copies. Signatures are taken as they are."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import ExitStack
from http import HTTPStatus
from urllib.parse import unquote
from xml.sax.saxutils import escape

from benchmarks.faults import spoiling
from benchmarks.faults.folder import Folder, tag_of
from benchmarks.faults.messages import S3_ROOT, Answer, Request, text_answer
from benchmarks.faults.objects import Objects, RefusedError
from benchmarks.faults.plan import Asked, Fault, FaultPlan, Kind
from benchmarks.faults.s3_listing import XML, Wish, iso_date, page_of, page_text


class S3Side:
    """Answers below `/s3/BUCKET/`.

    Args:
        folder: a bucket is a folder in it.
        objects: gives what is in them.
        plan: how lists are spoiled.
        page_size: entries of a listing's page, at most.
    """

    def __init__(self, folder: Folder, objects: Objects, plan: FaultPlan, page_size: int) -> None:
        self._folder = folder
        self._objects = objects
        self._plan = plan
        self._page_size = page_size

    def answer(self, request: Request, fault: Fault, files: ExitStack) -> Answer:
        """The answer to `request`; its files are open as long as `files`."""
        bucket, _, key = request.path.removeprefix(S3_ROOT).partition("/")
        try:
            if not bucket or not self._folder.path_of(bucket).is_dir():
                raise RefusedError(HTTPStatus.NOT_FOUND, "NoSuchBucket")
            if not key:
                return self._of_bucket(bucket, request, fault)
            return self._of_object(f"{bucket}/{key}", request, fault, files)
        except (FileNotFoundError, IsADirectoryError):
            return self.error(RefusedError(HTTPStatus.NOT_FOUND, "NoSuchKey"))
        except RefusedError as error:
            return self.error(error)

    def error(self, error: RefusedError) -> Answer:
        """How an error is told here."""
        text = f"{XML}<Error><Code>{error.code}</Code><Message>{error.status.phrase}</Message></Error>"
        answer = text_answer(error.status, text, "application/xml")
        # As at Amazon, a 416 does not tell the size in a header.
        told = {name: value for name, value in error.headers.items() if name != "Content-Range"}
        answer.headers.update(told)
        return answer

    def _of_bucket(self, bucket: str, request: Request, fault: Fault) -> Answer:
        if request.method == "HEAD":
            return Answer(HTTPStatus.OK, {})
        if request.asked is Asked.LIST:
            return self._list(bucket, request.query, fault)
        raise RefusedError(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented")

    def _of_object(self, name: str, request: Request, fault: Fault, files: ExitStack) -> Answer:
        if request.query.keys() - {"x-id"}:  # parts, versions, tags and more
            raise RefusedError(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented")
        match request.method:
            case "GET" | "HEAD":
                return self._objects.answer(name, request, fault, files)
            case "PUT":
                return self._put(name, request)
            case "DELETE":
                self._folder.delete(name)
                return Answer(HTTPStatus.NO_CONTENT, {})
        raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed")

    def _put(self, name: str, request: Request) -> Answer:
        replace = request.headers.get("if-none-match") != "*"
        source = request.headers.get("x-amz-copy-source")
        try:
            if source is None:
                stat = self._folder.write(name, request.body or io.BytesIO(), replace=replace)
                return Answer(HTTPStatus.OK, {"ETag": tag_of(stat)})
            with self._folder.path_of(unquote(source, errors="surrogateescape")).open("rb") as file:
                stat = self._folder.write(name, file, replace=replace)
        except FileExistsError as error:
            raise RefusedError(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed") from error
        except (NotADirectoryError, IsADirectoryError) as error:
            raise RefusedError(HTTPStatus.CONFLICT, "OperationAborted") from error
        text = (
            f"{XML}<CopyObjectResult><LastModified>{iso_date(stat.st_mtime)}</LastModified>"
            f"<ETag>{escape(tag_of(stat))}</ETag></CopyObjectResult>"
        )
        return text_answer(HTTPStatus.OK, text, "application/xml")

    def _list(self, bucket: str, query: Mapping[str, str], fault: Fault) -> Answer:
        try:
            wish = Wish.of(query, self._page_size)
        except ValueError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "InvalidArgument") from error
        entries = self._folder.keys(bucket, wish.prefix, wish.delimiter)
        if fault.kind is Kind.STALE_LIST:
            entries = spoiling.without_newest(entries, self._plan.stale_entries)
        page, next_token = page_of(entries, wish)
        if fault.kind is Kind.DUPLICATE:
            page = spoiling.with_double(page, fault.place)
        text = page_text(bucket, wish, page, next_token)
        answer = text_answer(HTTPStatus.OK, text, "application/xml")
        return spoiling.partial(answer, fault.place) if fault.kind is Kind.PARTIAL_LIST else answer
