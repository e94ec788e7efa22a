"""A director of a federation in a process of its own, for `rows_osdf.py`: the double of the tests.

    python director.py PORT CERTIFICATE KEY '{"path": "/open", "caches": [...], "origins": [...]}'

It ends with its standard input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from servers.federation_director import Director, Namespace
from servers.tls import Pair


def main() -> None:
    port, certificate, key, told = sys.argv[1:5]
    namespace = json.loads(told)
    server = Director("localhost", {"localhost": Pair(Path(certificate), Path(key))}, port=int(port))
    server.namespaces[namespace["path"]] = Namespace(
        namespace["path"], tuple(namespace["caches"]), tuple(namespace["origins"])
    )
    print("ready", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
