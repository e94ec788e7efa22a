"""What is measured of pelicanfs: `python in_pelicanfs.py together|singly FEDERATION PAIRS`.

A pair is an object's path and a local file, with a tab between. They are got by one call, or by a call for each; then the SHA-256 of each
file is computed, for pelicanfs computes none.
"""

from __future__ import annotations

import hashlib
import sys

from pelicanfs.core import PelicanFileSystem


def main() -> None:
    how, federation, pairs = sys.argv[1:]
    with open(pairs, encoding="utf-8") as file:
        given = [line.rstrip("\n").split("\t") for line in file]
    system = PelicanFileSystem(federation)
    if how == "together":
        system.get([path for path, _ in given], [local for _, local in given])
    else:
        for path, local in given:
            system.get(path, local)
    for _, local in given:
        with open(local, "rb") as arrived:
            hashlib.file_digest(arrived, "sha256")


if __name__ == "__main__":
    main()
