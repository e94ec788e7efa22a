"""`wf-transfer globus login`: a person's consent, turned into refresh tokens that jobs use later and nobody has to see."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..credentials.errors import CredentialError
from ..credentials.globus import login_file
from ..credentials.globus_tokens import TRANSFER_SERVER, Login, locked, read_login, write_login
from ..credentials.kinds import Globus, Secret
from ..credentials.means import Means
from ..credentials.redaction import printable
from ..protocols.context import Context
from ..protocols.errors import Denied, LocalRefused, Misconfigured, MissingExtra, ServerFault, TransferError
from ..protocols.globus_access import TRANSFER_SCOPE, granted, options
from ..protocols.globus_client import GlobusClient
from ..protocols.globus_names import is_collection
from ..protocols.locations import parse_location
from .logs import Log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from ..protocols.globus_client import Collection

_SECONDS: Final = 60.0
_REGISTER: Final = (
    "register a native application at https://app.globus.org/settings/developers and give its id by --client-id or "
    "GLOBUS_CLIENT_ID"
)


def run(what: str, collections: Sequence[str], client_id: str, environment: Mapping[str, str]) -> int:
    """The exit code of `login` or `logout`; people are told on standard error."""
    from .asking import exit_of
    from .listing import tell

    context = _context(environment)
    try:
        if what == "login":
            path = log_in(
                collections, client_id or environment.get("GLOBUS_CLIENT_ID", ""), environment, context
            )
            print(f"logged in; jobs of this user find it in {printable(path)}", file=sys.stderr)
        else:
            path = log_out(environment, context)
            print(
                f"logged out; {printable(path)} is gone" if path else "nobody was logged in", file=sys.stderr
            )
    except (TransferError, CredentialError) as error:
        found = error if isinstance(error, TransferError) else Misconfigured(error.what, remedy=error.remedy)
        tell(found)
        return exit_of([(parse_location("globus://login"), found)])
    return 0


def _context(environment: Mapping[str, str]) -> Context:
    import threading

    from .surroundings import Surroundings

    around = Surroundings(None, environment)
    return Context(
        stop=threading.Event(),
        connect=_SECONDS,
        stall=_SECONDS,
        credential=around.credential,
        tls=around.tls,
        log=Log(),
        proxies=around.proxies,
    )


def log_in(
    collections: Sequence[str], client_id: str, environment: Mapping[str, str], context: Context
) -> str:
    """The path of the file that holds the login now. Raises TransferError and OSError.

    Asks on standard error and reads codes from standard input: once for Transfer, and once more for what the named
    collections want beside, since only Transfer tells what that is.
    """
    names = [_uuid(name) for name in collections]
    means = Means(environment)
    path = login_file(means)
    if not path:
        raise Misconfigured("there is no home folder to keep the login in", remedy="set HOME")
    if not client_id:
        raise Misconfigured("a login needs the id of an application", remedy=_REGISTER)
    app = _application(client_id, context)
    found = _consented(app, (TRANSFER_SCOPE,))
    if names:
        looked = [_collection(name, found, context) for name in names]
        found = {**found, **_consented(app, scopes_for(looked))}
    _keep(path, client_id, found)
    return path


def log_out(environment: Mapping[str, str], context: Context) -> str:
    """The path of the file that is gone now; empty where there was no login. The tokens are revoked as far as possible."""
    import os

    import globus_sdk

    path = login_file(Means(environment))
    try:
        login, _ = read_login(path)
    except FileNotFoundError:
        return ""
    app = _application(login.client_id, context)
    try:
        for token in login.tokens.values():
            app.oauth2_revoke_token(token.reveal())
    except (globus_sdk.GlobusError, TransferError) as error:
        print(f"the tokens could not be revoked: {type(error).__name__}", file=sys.stderr)
    os.unlink(path)
    return path


def scopes_for(collections: Sequence[Collection]) -> tuple[str, ...]:
    """What a consent for tasks and files of these collections is asked for with."""
    mapped = [each for each in collections if each.is_mapped]
    inner = " ".join(f"*{each.data_access}" for each in mapped)
    transfer = f"{TRANSFER_SCOPE}[{inner}]" if inner else TRANSFER_SCOPE
    return (transfer, *(each.data_scopes for each in collections if each.https))


def _uuid(name: str) -> str:
    """The collection, also where somebody gives its whole URL."""
    text = name.partition("://")[2].partition("/")[0] if "://" in name else name
    if not is_collection(text):
        raise LocalRefused(
            f"{name[:200]!r} is not the UUID of a collection", remedy="see its page in the Globus web app"
        )
    return text.lower()


def _application(client_id: str, context: Context) -> Any:
    try:
        import globus_sdk
    except ImportError:
        raise MissingExtra(
            "globus needs the Python module globus_sdk", remedy="pip install 'wf-transfer[globus]'"
        ) from None
    from ..protocols.wire import Wire

    # Its connections end with the command.
    return globus_sdk.NativeAppAuthClient(client_id, **options(Wire(context)))


def _consented(app: Any, scopes: Sequence[str]) -> dict[str, Any]:
    """The tokens, by server, for a code that the person brings from the browser."""
    import globus_sdk

    app.oauth2_start_flow(requested_scopes=" ".join(scopes), refresh_tokens=True)
    print("open this address in a browser, agree, and enter the code that it shows:", file=sys.stderr)
    print(app.oauth2_get_authorize_url(), file=sys.stderr, flush=True)
    print("code: ", end="", file=sys.stderr, flush=True)
    code = sys.stdin.readline().strip()
    if not code:
        raise Denied("no code was entered", remedy="run the command again")
    try:
        return granted(app.oauth2_exchange_code_for_tokens(code))
    except globus_sdk.GlobusAPIError as error:
        raise Denied(
            f"logging in to Globus: {error.http_status}: the code was refused", remedy="run the command again"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ServerFault("logging in to Globus: the answer holds no tokens") from None


def _collection(name: str, found: Mapping[str, Any], context: Context) -> Collection:
    from ..protocols.globus_access import tokens_of

    token = Secret(str(found[TRANSFER_SERVER]["access_token"]))
    credential = Globus("access", token, name="the new login", origin="Globus")
    client = GlobusClient(tokens_of(credential, context), context)
    try:
        return client.collection(name)
    finally:
        client.close()


def _keep(path: str, client_id: str, found: Mapping[str, Any]) -> None:
    """Writes the refresh tokens; those of other collections by the same application stay."""
    tokens = {
        server: Secret(str(token["refresh_token"]))
        for server, token in found.items()
        if token.get("refresh_token")
    }
    with locked(path):
        try:
            before, _ = read_login(path)
        except FileNotFoundError:
            before = Login(client_id, {})
        kept = before.tokens if before.client_id == client_id else {}
        write_login(path, Login(client_id, {**kept, **tokens}))
