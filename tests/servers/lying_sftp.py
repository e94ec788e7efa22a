"""A double: an `ssh` that runs OpenSSH's SFTP server here, as it is, or spoiling what it answers as no server does on purpose."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from .process import missing

if TYPE_CHECKING:
    from pathlib import Path

LIES = ("another number", "twice", "another kind", "shorter", "longer", "too long", "noise", "refusal", "end")

_PROGRAM = """\
import os, struct, subprocess, sys
lie, at = os.environ["WF_LIE"], int(os.environ["WF_LIE_AT"])
if "-s" not in sys.argv:
    sys.exit(1)
server = subprocess.Popen([{server!r}], stdin=0, stdout=subprocess.PIPE)
def take(count):
    data = server.stdout.read(count)
    if len(data) < count:
        sys.exit(0)
    return data
def give(packet):
    data = struct.pack(">I", len(packet)) + packet
    while data:
        data = data[os.write(1, data):]
number = 0
while True:
    packet = take(*struct.unpack(">I", take(4)))
    number += 1
    if number >= at:
        kind, asked, rest = packet[:1], packet[1:5], packet[5:]
        if lie == "another number":
            asked = b"\\xff\\xff\\xff\\xfe"
        elif lie == "twice":
            give(packet)
        elif lie == "another kind":
            kind = bytes([105 if kind[0] != 105 else 103])
        elif lie == "shorter":
            rest = rest[: len(rest) // 2]
        elif lie == "longer":
            rest += bytes(1000)
        elif lie == "too long":
            os.write(1, b"\\x7f\\xff\\xff\\xff")
        elif lie == "noise":
            os.write(1, b"Welcome!\\n")
        elif lie == "refusal":
            kind, rest = b"\\x65", struct.pack(">I", 4)
        elif lie == "end":
            sys.exit(255)
        packet = kind + asked + rest
    give(packet)
"""


def lying_ssh(folder: Path) -> str:
    """A folder for PATH. WF_LIE says which of LIES it tells, from its answer WF_LIE_AT on."""
    return _program(folder, f"#!{sys.executable}\n{_PROGRAM.format(server=_server())}")


def honest_ssh(folder: Path) -> str:
    """A folder for PATH: the server is the account that runs the client, and tells what it may."""
    return _program(folder, f'#!/bin/sh\ncase " $* " in *" -s "*) exec {_server()};; esac\nexit 1\n')


def _server() -> str:
    places = "/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh:/usr/libexec"
    server = shutil.which("sftp-server", path=f"{places}:{os.environ['PATH']}")
    if server is None:
        missing("OpenSSH's sftp-server", "sudo make servers")
        raise AssertionError
    return server


def _program(folder: Path, text: str) -> str:
    program = folder / "ssh"
    program.write_text(text)
    program.chmod(0o755)
    return str(folder)
