"""Credentials for Google Cloud Storage: JSON documents, named by variables or sections, and what older tools left behind."""

from __future__ import annotations

import os

from .errors import Misconfigured, MissingCredential
from .kinds import Anonymous, Google, Secret
from .query import GOOGLE_SCHEMES, as_variable
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .file import Section
    from .kinds import Credential
    from .means import Means
    from .private import Seen
    from .query import Query

_FORMS: Final = ("service_account", "authorized_user", "external_account")
_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_PROJECTS: Final = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")


class GoogleVariables:
    """`GOOGLE_APPLICATION_CREDENTIALS_<site>`, or with `general` without a site; an emulator needs nothing."""

    slow = ""

    def __init__(self, means: Means, *, general: bool) -> None:
        self._means = means
        self._general = general

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if query.scheme not in GOOGLE_SCHEMES or not (query.site or self._general):
            return None
        suffix = "" if self._general else f"_{as_variable(query.site)}"
        if self._general and (emulator := self._means.value("STORAGE_EMULATOR_HOST")):
            return _emulator(emulator, self._means)
        for name, path in self._means.named((_VARIABLE + suffix,), looked):
            return google_at(path, self._means, name, f"${name}={printable(path)}")
        for name, path in self._means.named((f"BOTO_CONFIG{suffix}",), looked):
            return _of_boto_file(path, self._means, name)
        if self._means.value(f"GOOGLE_PKCS12{suffix}"):
            raise _retired(f"GOOGLE_PKCS12{suffix}", "a key in PKCS#12 form", suffix)
        return None


class GoogleDefault:
    """What `gcloud auth application-default login` left; on Google's own machines, what its library knows."""

    slow = "google"

    def __init__(self, means: Means) -> None:
        self._means = means

    def may(self, query: Query) -> bool:
        return query.scheme in GOOGLE_SCHEMES

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not self.may(query):
            return None
        folder = self._means.value("CLOUDSDK_CONFIG") or self._means.home(".config", "gcloud")
        path = os.path.join(folder, "application_default_credentials.json") if folder else ""
        if path and os.path.exists(path):
            return google_at(path, self._means, "gcloud", printable(path))
        looked.append(f"{printable(path)} (not there)")
        if _on_google():
            origin = "the metadata service of this machine"
            return Google("default", Secret(""), project=_project(self._means), name="google", origin=origin)
        looked.append("Google's metadata service (this is no machine of Google's)")
        return None


def google_in_section(section: Section, means: Means) -> Credential | None:
    """What `google_credentials = FILE`, or `anonymous = yes`, of a section means."""
    endpoint, user_project = section.text("endpoint"), section.text("user_project")
    project = section.text("project")
    if section.is_on("anonymous"):
        if not endpoint:
            return Anonymous(section.name, section.origin)
        return Google(
            "anonymous",
            Secret(""),
            endpoint=endpoint,
            project=project or _project(means),
            name=section.name,
            origin=section.origin,
        )
    path = section.text("google_credentials")
    if not path:
        return None
    return google_at(
        path,
        means,
        section.name,
        section.origin,
        endpoint=endpoint,
        project=project,
        user_project=user_project,
        encryption_key=section.secret("encryption_key"),
    )


def _emulator(host: str, means: Means) -> Google:
    """An emulator is told no secret, whatever else is configured; as Google's own libraries have it."""
    endpoint = host if "://" in host else f"http://{host}"
    return Google(
        "anonymous",
        Secret(""),
        endpoint=endpoint,
        project=_project(means),
        name="emulator",
        origin="$STORAGE_EMULATOR_HOST",
    )


def _project(means: Means) -> str:
    return next((value for name in _PROJECTS if (value := means.value(name))), "")


def google_at(
    path: str,
    means: Means,
    name: str,
    origin: str,
    *,
    endpoint: str = "",
    project: str = "",
    user_project: str = "",
    encryption_key: Secret | None = None,
) -> Google:
    """The document in a file that somebody named. Raises MissingCredential, UnsafeFile and Misconfigured.

    One for workload identity holds no secret, and its permissions are not looked at. Without `project` it is that of the
    environment, else the document's own.
    """
    import json

    content, seen = _document(path, means, origin)
    try:
        document = json.loads(content)
        form = document["type"]
        own = document.get("project_id") or document.get("quota_project_id") or ""
    except (ValueError, KeyError, TypeError, AttributeError):
        form = own = ""
    if form not in _FORMS:
        raise Misconfigured(
            f"{origin} is not a Google credential in JSON form",
            f"it must be a JSON object whose type is one of {', '.join(_FORMS)}",
        )
    return Google(
        form,
        Secret(content.decode("utf-8", "replace")),
        endpoint=endpoint,
        project=project or _project(means) or (own if isinstance(own, str) else ""),
        user_project=user_project,
        encryption_key=encryption_key,
        name=name,
        origin=origin,
        seen=seen,
    )


def _document(path: str, means: Means, origin: str) -> tuple[bytes, tuple[Seen, ...]]:
    from .private import seen_now

    try:
        with open(path, "rb") as file:
            content = file.read(1 << 20)
    except OSError:
        content = b""
    if b'"external_account"' in content:
        seen = seen_now(path)
        return content, (seen,) if seen is not None else ()
    content, checked = means.read_named(path, origin)
    return content, (checked,)


def _of_boto_file(path: str, means: Means, variable: str) -> Google:
    """The credential in a configuration of gsutil, if it is of a kind that Google's libraries still take."""
    from configparser import ConfigParser, Error

    origin = f"${variable}={printable(path)}"
    content, seen = means.read_named(path, origin)
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(content.decode("utf-8", "replace"))
    except Error:
        raise Misconfigured(f"{origin} is not understood", f"set {_VARIABLE} to a JSON key instead") from None
    entries = parser["Credentials"] if parser.has_section("Credentials") else {}
    key = entries.get("gs_service_key_file", "")
    if key and not key.endswith(".p12"):
        return google_at(key, means, variable, f"{origin}: {printable(key)}")
    token = entries.get("gs_oauth2_refresh_token", "")
    client = parser["OAuth2"] if parser.has_section("OAuth2") else {}
    if token and client.get("client_id") and client.get("client_secret"):
        import json

        document = {
            "type": "authorized_user",
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
            "refresh_token": token,
        }
        return Google(
            "authorized_user",
            Secret(json.dumps(document)),
            project=_project(means),
            name=variable,
            origin=origin,
            seen=(seen,),
        )
    raise _retired(
        variable, "a gsutil configuration without a JSON key", variable.removeprefix("BOTO_CONFIG")
    )


def _retired(variable: str, what: str, suffix: str) -> MissingCredential:
    return MissingCredential(
        f"${variable} names {what}, which Google's libraries no longer read",
        f"make a JSON key for the same service account and set {_VARIABLE}{suffix} to its path",
    )


def _on_google() -> bool:
    try:
        with open("/sys/class/dmi/id/product_name", encoding="ascii", errors="replace") as product:
            return "Google" in product.read(64)
    except OSError:
        return False
