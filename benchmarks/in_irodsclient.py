"""What people write with python-irodsclient: one session, and puts or gets one after the other, each line a source and a target.

`python in_irodsclient.py put|get plain|compared LISTING`. `plain` is the library alone: the server registers a checksum of what it
stored, and nobody compares it. `compared` does what wf-transfer does: it hashes the file, and hands the checksum over or compares it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys

import irods.keywords as kw
from irods.session import iRODSSession


def opened() -> iRODSSession:
    with open(os.environ["IRODS_ENVIRONMENT_FILE"], encoding="utf-8") as file:
        found = json.load(file)
    return iRODSSession(
        host=found["irods_host"],
        port=found["irods_port"],
        user=found["irods_user_name"],
        password=found["irodsPassword"],
        zone=found["irods_zone_name"],
    )


def checksum(path: str) -> str:
    with open(path, "rb") as file:
        return "sha2:" + base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()


def main() -> None:
    direction, manner, listing = sys.argv[1:]
    compared = manner == "compared"
    with opened() as session, open(listing, encoding="utf-8") as lines:
        for line in lines:
            source, target = line.rstrip("\n").split("\t")
            if direction == "put":
                how = {kw.VERIFY_CHKSUM_KW: checksum(source)} if compared else {kw.REG_CHKSUM_KW: ""}
                session.data_objects.put(source, target, **how)
                continue
            found = session.data_objects.get(source, target)
            if compared and found.checksum != checksum(target):
                raise SystemExit(f"{target} has another checksum")


if __name__ == "__main__":
    main()
