"""The part of the Hugging Face Hub's protocol that a download needs, served from directories on the loopback."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Commits = Mapping[str, Path]
"""Revision (a commit or a branch) -> directory; a commit is named by its directory."""


@contextmanager
def serve_hub(repositories: Mapping[str, Commits], gated: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yields the endpoint. The commit of a directory is the sha1 of its path."""

    class Handler(_HubHandler):
        pass

    Handler.repositories, Handler.gated = repositories, gated
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def commit_of(directory: Path) -> str:
    return hashlib.sha1(str(directory).encode()).hexdigest()


class _HubHandler(BaseHTTPRequestHandler):
    repositories: Mapping[str, Commits]
    gated: frozenset[str]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path):
            repository, kind, revision = match.groups()
            if directory := self._directory(repository, revision):
                self._send_json(self._info(repository, directory) if kind == "revision" else _tree(directory))
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repository, revision, name = match.groups()
            if repository in self.gated:
                self._send_error(403, "GatedRepo")
            elif directory := self._directory(repository, revision):
                self._send_file(directory, name)
        else:
            self._send_error(404, "EntryNotFound")

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass

    def _directory(self, repository: str, revision: str) -> Path | None:
        if repository not in self.repositories:
            self._send_error(404, "RepoNotFound")
            return None
        commits = self.repositories[repository]
        by_commit = {commit_of(directory): directory for directory in commits.values()}
        directory = commits.get(revision) or by_commit.get(revision)
        if directory is None:
            self._send_error(404, "RevisionNotFound")
        return directory

    def _info(self, repository: str, directory: Path) -> dict[str, object]:
        siblings = [{"rfilename": path.name} for path in sorted(directory.iterdir())]
        return {"id": repository, "sha": commit_of(directory), "siblings": siblings, "private": False}

    def _send_file(self, directory: Path, name: str) -> None:
        path = directory / name
        if not path.is_file():
            self._send_error(404, "EntryNotFound")
            return
        data = path.read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        self._send(200, data, {"ETag": etag, "X-Repo-Commit": commit_of(directory)})

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send_error(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


def _tree(directory: Path) -> list[dict[str, object]]:
    return [
        {
            "type": "file",
            "path": path.name,
            "size": path.stat().st_size,
            "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
        }
        for path in sorted(directory.iterdir())
    ]
