"""Apache with mod_dav: the WebDAV server that most sites run.

`root` is served everywhere (`/basic/a` is `root/a`), on a plain port, a second plain one and a TLS port:

================  ======================================================================================
place             habit
================  ======================================================================================
`/dav/`           anybody may read and write; PROPFIND of infinite depth is 403
`/basic/`         basic authentication, USER and PASSWORD
`/digest/`        digest authentication (MD5), the same
`/bearer/`        `Authorization: Bearer TOKEN`, else 401
`/client/`        a client certificate of the test CA, else 403; on the TLS port
`/nomove/`        MOVE is 403, although OPTIONS offers it
`/forward/`       GET and PUT are 307 to the same name in `/dav/` of the second port; the rest is done here
`/forward-basic/` the same, with basic authentication; `/dav/` wants none
`/put-only/`      PUT and HEAD alone, as web servers have it: all else is 403
================  ======================================================================================
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import time
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .process import Daemon, binary, free_port, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tls import TlsFiles

USER = "alice"
PASSWORD = "open:sesame"
TOKEN = "bearer-token-789"
REALM = "dav"

_MODULES = (
    *("mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "auth_digest"),
    *("alias", "mime", "dir", "dav", "dav_fs", "rewrite"),
    *("socache_shmcb", "ssl"),
)


class Seen(NamedTuple):
    """One request as the access log has it. Texts are `-` where the client sent no such header."""

    connection: str
    """The same text is the same connection: the client's port."""
    method: str
    target: str
    status: int
    port: int
    authorization: str
    destination: str
    depth: str
    overwrite: str


class Apache:
    """A running server. Its URLs have no slash at the end."""

    def __init__(self, root: Path, ports: tuple[int, int, int], log: Path, daemon: Daemon) -> None:
        self.root = root
        """Belongs to the server's user; what is put there must be readable for others."""
        self.port, self.second_port, self.tls_port = ports
        self.url = f"http://127.0.0.1:{self.port}"
        self.second_url = f"http://127.0.0.1:{self.second_port}"
        self.tls_url = f"https://localhost:{self.tls_port}"
        self.daemon = daemon
        self._log = log
        self._marks = 0
        self._forgotten = 0

    def dav(self, path: str = "", *, scheme: str = "webdav", place: str = "dav") -> str:
        """The URL of `path` below the root, as `place` serves it."""
        host = f"localhost:{self.tls_port}" if scheme in ("webdavs", "davs") else f"127.0.0.1:{self.port}"
        return f"{scheme}://{host}/{place}/{path}"

    def requests(self) -> list[Seen]:
        """All requests that were finished when this was called, oldest first, since the last `forget()`."""
        return self._read()[self._forgotten :]

    def methods(self) -> list[str]:
        return [seen.method for seen in self.requests()]

    def forget(self) -> None:
        """Starts the list of requests anew."""
        self._forgotten = len(self._read())

    def _read(self) -> list[Seen]:
        self._marks += 1
        mark = f"/log-mark-{self._marks}-"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(urllib.error.HTTPError):
            opener.open(f"{self.url}{mark}", timeout=30).close()
        deadline = time.monotonic() + 30
        while mark not in (text := self._log.read_text(errors="surrogateescape")):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Apache did not log {mark}")
            time.sleep(0.005)
        seen = [Seen(**json.loads(line.replace("\\x", "\\u00"))) for line in text.splitlines()]
        return [one for one in seen if not one.target.startswith("/log-mark-")]


@contextlib.contextmanager
def apache(tls: TlsFiles, *, extra: str = "") -> Iterator[Apache]:
    """A server whose files belong to a user of its own where the tests run as root. `extra` is configuration."""
    program = binary("apache2")
    ports = (free_port(), free_port(), free_port())
    with short_temporary_directory() as name:
        run = Path(name)
        root = run / "root"
        root.mkdir()
        (run / "state").mkdir()
        user = _user(run, root)
        (run / "passwords").write_text(f"{USER}:{_sha1(PASSWORD)}\n")
        hashed = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest()
        (run / "digests").write_text(f"{USER}:{REALM}:{hashed}\n")
        (run / "apache.conf").write_text(_configuration(run, root, ports, tls, user) + extra)
        command = [program, "-D", "FOREGROUND", "-d", str(run), "-f", str(run / "apache.conf")]
        daemon = Daemon(command, port=ports[0], log=run / "output.log")
        try:
            daemon.wait_until_it_accepts(ports[2])
            yield Apache(root, ports, run / "access.log", daemon)
        finally:
            daemon.stop()


def _user(run: Path, root: Path) -> str:
    """The lines that name the server's user. Apache refuses to serve as root."""
    if os.geteuid() != 0:
        return ""
    for name in ("www-data", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            for folder in (run, root, run / "state"):
                os.chown(folder, user.pw_uid, user.pw_gid)
            return f"User {name}\nGroup #{user.pw_gid}\n"
    raise RuntimeError("there is no user that Apache could run as")


def _sha1(password: str) -> str:
    return "{SHA}" + b64encode(hashlib.sha1(password.encode()).digest()).decode()


def _log_format() -> str:
    fields = {
        "connection": r"\"%{remote}p\"",
        "method": r"\"%m\"",
        "target": r"\"%U%q\"",
        "status": "%>s",
        "port": "%{local}p",
        "authorization": r"\"%{Authorization}i\"",
        "destination": r"\"%{Destination}i\"",
        "depth": r"\"%{Depth}i\"",
        "overwrite": r"\"%{Overwrite}i\"",
    }
    return "{" + ",".join(rf"\"{name}\":{value}" for name, value in fields.items()) + "}"


def _configuration(run: Path, root: Path, ports: tuple[int, int, int], tls: TlsFiles, user: str) -> str:
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in _MODULES
    )
    _, second, encrypted = ports
    listen = "".join(f"Listen 127.0.0.1:{port}\n" for port in ports)
    places = _places(run, root, second)
    return f"""\
{modules}{user}{listen}
ServerName 127.0.0.1
PidFile {run}/apache.pid
DefaultRuntimeDir {run}/state
Mutex file:{run}/state default
ErrorLog {run}/error.log
LogFormat "{_log_format()}" seen
CustomLog {run}/access.log seen
LimitRequestBody 0
DavLockDB {run}/state/locks
StartServers 1
ServerLimit 2
ThreadsPerChild 25
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 30
TypesConfig /dev/null
AllowEncodedSlashes NoDecode
DocumentRoot {run}/state
<Directory {root}>
    Require all granted
    Options None
</Directory>
{places}
SSLSessionCache none
<VirtualHost 127.0.0.1:{encrypted}>
    SSLEngine on
    SSLCertificateFile {tls.server.certificate}
    SSLCertificateKeyFile {tls.server.key}
    SSLCACertificateFile {tls.ca}
    SSLVerifyClient optional
    {places}
</VirtualHost>
"""


def _places(run: Path, root: Path, second: int) -> str:
    password = f"AuthName {REALM}\nAuthType Basic\nAuthUserFile {run}/passwords\n"
    places = {
        "dav": "",
        "basic": f"{password}Require user {USER}\n",
        "digest": f"AuthName {REALM}\nAuthType Digest\nAuthDigestProvider file\n"
        f"AuthUserFile {run}/digests\nRequire user {USER}\n",
        "bearer": f"{password}Require expr \"%{{HTTP:Authorization}} == 'Bearer {TOKEN}'\"\n",
        "client": "Require expr \"%{SSL_CLIENT_VERIFY} == 'SUCCESS'\"\n",
        "nomove": "<Limit MOVE>\nRequire all denied\n</Limit>\n",
        "put-only": "<LimitExcept PUT GET HEAD>\nRequire all denied\n</LimitExcept>\n",
        "forward": "",
        "forward-basic": f"{password}Require user {USER}\n",
    }
    aliases = "".join(
        f"Alias /{name} {root}\n<Location /{name}>\nDav On\n{habit}</Location>\n"
        for name, habit in places.items()
    )
    forward = "".join(
        f"RewriteCond %{{REQUEST_METHOD}} ^(GET|PUT)$\n"
        f"RewriteRule ^/{name}/(.*)$ http://127.0.0.1:{second}/dav/$1 [R=307,L]\n"
        for name in ("forward", "forward-basic")
    )
    return f"{aliases}RewriteEngine On\n{forward}"
