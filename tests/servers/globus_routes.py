"""The HTTP side of the Globus test service: Auth, Transfer, and the wishes of a test."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from dataclasses import fields
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from . import globus_documents as documents
from .globus_data import DataRoutes
from .globus_tasks import Task
from .globus_world import Collection, Denied, Refusal, Rule, server_of

if TYPE_CHECKING:
    from pathlib import Path

    from .globus_documents import Document

_UUID = r"([0-9a-fA-F-]{36})"
_MISSING = (
    "Path not found, Error (list)\nServer: 127.0.0.1:443\nMessage: No such file or directory\n---\n"
    "Details: Error: '{}' not found\\r\\n550-GlobusError: v=1 c=PATH_NOT_FOUND\\r\\n550-GridFTP-Errno: 2\\r\\n550 End."
)


class Routes(DataRoutes):
    """One connection. `world` is set by a subclass."""

    def _serve(self) -> None:
        self.continued = False
        parts = urlsplit(self.path)
        self.route = unquote(parts.path, errors="surrogateescape")
        self.query = {
            key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()
        }
        # Before the body comes: whoever sends `Expect: 100-continue` must be able to be refused.
        self.length = int(self.headers.get("Content-Length") or 0)
        what = f"{self.command} {self.route}"
        if self.route != "/_control":
            self.world.requests.append(what)
        effect = self.world.effect(what) if self.route != "/_control" else {}
        try:
            self._obey(effect)
        except Refusal as error:
            self._answer_json(
                error.status,
                {"code": error.code, "message": error.message, **self._about(), **error.extra},
                error.headers,
            )

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

    def _obey(self, effect: dict[str, Any]) -> None:
        if "delay" in effect:
            time.sleep(effect["delay"])
        if effect.get("hang_up") == "before":
            self._hang_up()
            return
        if "raw" in effect:
            self._body()
            kind, headers = effect.get("kind", "text/html"), effect.get("headers", {})
            self._answer(effect.get("status", 200), effect["raw"].encode(), kind, headers)
            return
        if "status" in effect:
            self._body()
            told = effect.get("message", "injected")
            raise Refusal(
                effect["status"],
                effect.get("code", "Injected"),
                told.replace("AUTHORIZATION", self.headers.get("Authorization") or ""),
                headers=effect.get("headers", {}),
            )
        if self.route.startswith("/c/"):
            self._data(effect)
            return
        self.effect = effect
        status, document = self._act()
        time.sleep(effect.get("answer_after", 0.0))
        if effect.get("hang_up") == "after":
            self._hang_up()
            return
        self._answer_json(status, {**document, **effect.get("fields", {})})

    # --- which route

    def _act(self) -> tuple[int, Document]:
        if self.route == "/_control":
            return 200, {"answer": self._control(json.loads(self._body()))}
        if self.route == "/v2/oauth2/token":
            return self._token({key: values[0] for key, values in parse_qs(self._body().decode()).items()})
        if self.route == "/v2/oauth2/authorize":
            return self._authorize()
        for pattern, method, found in _ROUTES:
            match = re.fullmatch(pattern, self.route)
            if match and method == self.command:
                return found(self, *match.groups())  # type: ignore[no-any-return, operator]
        raise Refusal(404, "ClientError.NotFound", "no such resource")

    def _owner(self, *collections: str) -> str:
        return self.world.owner_of(self.headers.get("Authorization") or "", collections=collections)

    # --- Auth

    def _token(self, form: dict[str, str]) -> tuple[int, Document]:
        world = self.world
        authorization = self.headers.get("Authorization") or ""
        client = form.get("client_id", "")
        if authorization.startswith("Basic "):
            client, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            if world.clients.get(client) != secret:
                return 401, {"error": "invalid_client"}
        kind = form.get("grant_type", "")
        if kind == "client_credentials":
            return 200, self._granted(client, form["scope"], renewable=False)
        if kind == "authorization_code" and form.get("code") in world.codes:
            owner, scopes = world.codes.pop(form["code"])
            return 200, self._granted(owner, scopes, renewable=True)
        if kind == "refresh_token" and form.get("refresh_token") in world.refresh:
            return 200, self._renewed(form["refresh_token"])
        return 400, {"error": "invalid_grant"}

    def _granted(self, owner: str, scopes: str, *, renewable: bool) -> Document:
        """A token a server: the first as the answer itself, the others inside it."""
        self.world.consent(owner, scopes)
        by_server: dict[str, list[str]] = {}
        for scope in re.findall(r"[^\s\[\]]+(?:\[[^\]]*\])?", scopes):
            root = scope.partition("[")[0]
            by_server.setdefault(server_of(root), []).append(root)
        tokens = []
        for roots in by_server.values():
            token = self.world.token(owner, " ".join(roots))
            if renewable:
                token["refresh_token"] = self.refresh_token(token["scope"], owner)
            tokens.append(token)
        return {**tokens[0], "other_tokens": tokens[1:]}

    def refresh_token(self, scope: str, owner: str) -> str:
        text = f"refresh-{uuid.uuid4().hex}"
        self.world.refresh[text] = (scope, owner)
        return text

    def _renewed(self, refresh: str) -> Document:
        scope, owner = self.world.refresh[refresh]
        token = self.world.token(owner, scope)
        if self.world.rotate:
            del self.world.refresh[refresh]
            refresh = self.refresh_token(scope, owner)
        return {**token, "refresh_token": refresh, "other_tokens": []}

    def _authorize(self) -> tuple[int, Document]:
        """What a person does in a browser: agrees, and copies the code from the page."""
        code = uuid.uuid4().hex
        self.world.codes[code] = ("a person", self.query["scope"])
        return 200, {"code": code, "asked": urlencode(self.query)}

    # --- Transfer

    def _submission_id(self) -> tuple[int, Document]:
        self._owner()
        value = str(uuid.uuid4())
        self.world.issued.add(value)
        return 200, {"value": value}

    def _endpoint(self, name: str) -> tuple[int, Document]:
        self._owner()
        one = self.world.collections.get(name)
        if one is None:
            raise Refusal(404, "EndpointNotFound", f"No such endpoint '{name}'")
        https = f"{self.world.data_url}/c/{name}" if one.entity_type.startswith("GCSv5") else ""
        return 200, documents.endpoint(one, https if self.world.data_url else "")

    def _submit(self, kind: str) -> tuple[int, Document]:
        document = json.loads(self._body())
        named = [
            document[key]
            for key in ("source_endpoint", "destination_endpoint", "endpoint")
            if key in document
        ]
        owner = self._owner(*named)
        submission = document.get("submission_id")
        self._check(document, named)
        world = self.world
        with world.lock:
            task, code = world.submissions.get(submission), "Duplicate"
            if task is None:
                world.documents.append(document)
                task, code = Task(world, document, owner), "Accepted"
                self._refuse_same_paths(task)
                world.submissions[submission] = world.tasks[task.id] = task
                task.start()
        answer = documents.accepted(kind, code, submission, task.id)
        return 202 if code == "Accepted" else 200, {**answer, **self._about()}

    def _check(self, document: Document, named: list[str]) -> None:
        """Raises for a document that the service does not take."""
        if document.get("submission_id") not in self.world.issued:
            raise Refusal(400, "ClientError.BadRequest", "invalid or missing submission_id")
        if not document.get("DATA"):
            raise Refusal(
                400, "ClientError.BadRequest.NoTransferItems", "A transfer requires at least one item"
            )
        if len(document["DATA"]) > self.world.items_most:
            raise Refusal(413, "RequestEntityTooLarge", "The document is too large")
        label = document.get("label") or ""
        if len(label) > 128 or re.search(r"[\r\n]|^\s|\s$", label):
            raise Refusal(400, "ClientError.BadRequest", "invalid label")
        for name in named:
            if name not in self.world.collections:
                raise Refusal(404, "EndpointNotFound", f"No such endpoint '{name}'")

    def _refuse_same_paths(self, task: Task) -> None:
        wanted = task.pairs()
        for other in self.world.tasks.values():
            if not other.is_over and wanted & other.pairs():
                raise Refusal(409, "Conflict", "A transfer with identical paths has not yet completed")

    def _task(self, name: str) -> Task:
        self._owner()
        task = self.world.tasks.get(name)
        if task is None:
            raise Refusal(404, "TaskNotFound", f"Task {name} was not found")
        return task

    def _shown(self, name: str) -> tuple[int, Document]:
        return 200, dict(self._task(name).shown)

    def _cancel(self, name: str) -> tuple[int, Document]:
        task = self._task(name)
        if task.is_over:
            code, message = "TaskComplete", "The task completed before the cancel request was processed."
        else:
            task.cancelled.set()
            task.join(5)
            code, message = "Canceled", "The task has been cancelled successfully."
        return 200, {**documents.result(code, message), **self._about()}

    def _events(self, name: str) -> tuple[int, Document]:
        only_errors = "is_error:1" in self.query.get("filter", "")
        found = [event for event in self._task(name).events if event["is_error"] or not only_errors]
        return 200, documents.page("event_list", found, *self._span(10))

    def _span(self, most: int) -> tuple[int, int]:
        return int(self.query.get("offset", 0)), int(self.query.get("limit", most))

    def _successful(self, name: str) -> tuple[int, Document]:
        task = self._task(name)
        if not task.is_over:
            raise Refusal(400, "ClientError.BadRequest", "The task has not completed yet")
        return 200, self._marked("successful_transfers", task.successful)

    def _skipped(self, name: str) -> tuple[int, Document]:
        return 200, self._marked("skipped_errors", self._task(name).skipped)

    def _marked(self, kind: str, entries: list[Document]) -> Document:
        marker, limit = int(self.query.get("marker", 0)), int(self.query.get("limit", 100))
        return documents.marked_page(kind, entries, marker, min(limit, 1000))

    def _pause_info(self, name: str) -> tuple[int, Document]:
        paused = self._task(name).shown["is_paused"]
        rules = [{"DATA_TYPE": "pause_rule_limited", "message": "Under maintenance"}] if paused else []
        return 200, {
            "DATA_TYPE": "pause_info_limited",
            "pause_rules": rules,
            "source_pause_message": None,
            "destination_pause_message": None,
        }

    def _task_list(self) -> tuple[int, Document]:
        """The newest first. `filter` is `key:value,value/key:...`; a label must be equal or begin so (`~` and `*`)."""
        owner = self._owner()
        found = [dict(task.shown) for task in self.world.tasks.values() if task.shown["owner_id"] == owner]
        for part in filter(None, self.query.get("filter", "").split("/")):
            key, _, values = part.partition(":")
            if key == "label":
                start = values.lstrip("~=").rstrip("*")
                found = [one for one in found if (one["label"] or "").startswith(start)]
            else:
                found = [one for one in found if one[key] in values.split(",")]
        return 200, documents.page("task_list", found[::-1], *self._span(10))

    # --- operations on files

    def _operation(self, name: str, what: str) -> tuple[int, Document]:
        self._owner(name)
        one = self.world.collection(name)
        path = self.query.get("path", "/")
        try:
            if what == "ls":
                return 200, self._ls(one, path)
            if what == "stat":
                return 200, _described(one.path(path))
            body = json.loads(self._body())
            if what == "mkdir":
                return 202, self._mkdir(one, body["path"])
            return 200, self._rename(one, body["old_path"], body["new_path"])
        except FileNotFoundError:
            code = "ClientError.NotFound" if what == "ls" else "NotFound"
            raise Refusal(404, code, _MISSING.format(path)) from None
        except (IsADirectoryError, NotADirectoryError) as error:
            message = (
                f"Error ({what})\n---\nDetails: 550-GridFTP-Errno: {error.errno}\\r\\n550 {error.strerror}"
            )
            raise Refusal(502, "EndpointError", message) from None
        except Denied as error:
            message = (
                f"Denied by endpoint, Error ({what})\nMessage: Fatal FTP Response\n---\nDetails: {error}"
            )
            raise Refusal(403, "EndpointPermissionDenied", message) from None

    def _ls(self, one: Collection, path: str) -> Document:
        folder = one.path(path)
        folder.stat()
        if not folder.is_dir():
            raise Refusal(502, "ExternalError.DirListingFailed.NotDirectory", "The path is not a directory")
        entries = [_described(each) for each in sorted(folder.iterdir())]
        for entry, name in zip(entries, self.effect.get("names", ()), strict=False):
            entry["name"] = name
        offset, limit = self._span(100_000)
        page = documents.page("file_list", entries, offset, limit)
        return {**page, "path": path, "absolute_path": path, "endpoint": one.id, **self._about()}

    def _mkdir(self, one: Collection, path: str) -> Document:
        folder = one.path(path, writing=True)
        if folder.exists():
            raise Refusal(502, "ExternalError.MkdirFailed.Exists", "Path already exists")
        if not folder.parent.exists():
            raise Refusal(502, "ExternalError.MkdirFailed", _MISSING.format(path))
        folder.mkdir()
        answer = documents.result(
            "DirectoryCreated", "The directory was created successfully", "mkdir_result"
        )
        return {**answer, **self._about()}

    def _rename(self, one: Collection, old: str, new: str) -> Document:
        goal = one.path(new, writing=True)
        if goal.exists() and not one.rename_replaces:
            raise Refusal(502, "ExternalError.RenameFailed.Exists", "Path already exists")
        one.path(old, writing=True).rename(goal)
        return {**documents.result("FileRenamed", "File or directory renamed successfully"), **self._about()}

    # --- the wishes of a test

    def _control(self, wish: dict[str, Any]) -> Any:
        world = self.world
        match wish["do"]:
            case "collection":
                one = Collection(**wish["with"])
                world.collections[one.id] = one
            case "change":
                one = world.collections[wish["id"]]
                for name, value in wish["with"].items():
                    setattr(one, name, value)
            case "world":
                known = {each.name for each in fields(world)}
                for name, value in wish["with"].items():
                    assert name in known, name
                    setattr(world, name, value)
            case "client":
                world.clients[wish["id"]] = wish["secret"]
            case "refresh":
                return self.refresh_token(wish["scope"], wish["owner"])
            case "token":
                return world.token(wish["owner"], wish["scope"])["access_token"]
            case "rule":
                world.rules.append(Rule(wish["match"], wish["times"], wish["effect"]))
            case "expire":
                world.expire()
            case "resume":
                for task in world.tasks.values():
                    task.resumed.set()
            case "tell":
                tasks = [dict(task.shown) for task in world.tasks.values()]
                return {"tasks": tasks, "requests": world.requests, "documents": world.documents}
        return None


def _described(path: Path) -> Document:
    return documents.file(path.name, path.stat(), is_directory=path.is_dir())


_ROUTES = (
    (r"/v0\.10/submission_id", "GET", Routes._submission_id),
    (r"/v0\.10/(transfer|delete)", "POST", Routes._submit),
    (r"/v0\.10/task_list", "GET", Routes._task_list),
    (rf"/v0\.10/endpoint/{_UUID}", "GET", Routes._endpoint),
    (rf"/v0\.10/operation/endpoint/{_UUID}/(ls|stat)", "GET", Routes._operation),
    (rf"/v0\.10/operation/endpoint/{_UUID}/(mkdir|rename)", "POST", Routes._operation),
    (rf"/v0\.10/task/{_UUID}", "GET", Routes._shown),
    (rf"/v0\.10/task/{_UUID}/cancel", "POST", Routes._cancel),
    (rf"/v0\.10/task/{_UUID}/event_list", "GET", Routes._events),
    (rf"/v0\.10/task/{_UUID}/successful_transfers", "GET", Routes._successful),
    (rf"/v0\.10/task/{_UUID}/skipped_errors", "GET", Routes._skipped),
    (rf"/v0\.10/task/{_UUID}/pause_info", "GET", Routes._pause_info),
)
