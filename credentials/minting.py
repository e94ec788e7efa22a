"""Tokens that are made when they are needed: by a command, or by an OAuth token endpoint for a refresh token.

Each is made once and kept until shortly before its end, for all threads; a refusal of it makes one anew.
"""

from __future__ import annotations

import threading
import time

from .errors import CredentialError, Misconfigured, MissingCredential
from .kinds import Secret
from .records import NamedTuple
from .redaction import printable
from .tokens import Candidate, presented, token_in_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

    from .file import Section
    from .kinds import Bearer
    from .means import Means

_COMMAND_SECONDS: Final = 30.0
_MOST_OUTPUT: Final = 1 << 16
_PATIENCE: Final = 30.0
"""Seconds for which a failure is remembered: a token endpoint that is down is not asked once per request."""
_CHILD_NEVER_GETS: Final = (
    *("BEARER_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "IRODS_TICKET"),
    *("GLOBUS_CLIENT_SECRET", "GLOBUS_CLI_CLIENT_SECRET", "GLOBUS_REFRESH_TOKEN", "GLOBUS_ACCESS_TOKEN"),
    "KICKSTART_MON_ENDPOINT_CREDENTIALS",
)
"""Beginnings of variables whose values are secrets themselves."""


class Fresh(NamedTuple):
    """A token just made. `expires` in seconds since 1970, None where nobody told."""

    token: Secret
    expires: float | None


class _Slot:
    """The token of one section, made by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: Bearer | None = None
        self.failure: CredentialError | None = None
        self.failed = 0.0


class Mint:
    """Makes and keeps the tokens of one chain."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._lock = threading.Lock()
        self._slots: dict[tuple[object, ...], _Slot] = {}

    def bearer(self, section: Section, *, anew: bool = False) -> Bearer | None:
        """The token that the section says how to make; None if it does not. Raises a CredentialError.

        `anew` makes one even if the present one has not ended.
        """
        command, endpoint = section.lists.get("token_command"), section.text("oauth_token_url")
        if not command and not endpoint:
            return None
        # With the file's version, so that a mended section is tried at once.
        key = (section.path, section.name, command, endpoint, section.seen, *sorted(_recipe(section)))
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
        with slot.lock:
            if slot.made is None or anew or slot.made.is_stale(time.time()):
                self._make(slot, section)
            if slot.failure is not None and (anew or slot.made is None):
                raise slot.failure
            assert slot.made is not None
            return slot.made

    def _make(self, slot: _Slot, section: Section) -> None:
        """Puts a new token there; where that fails, a present one stays until its end."""
        if slot.failure is not None and time.monotonic() - slot.failed < _PATIENCE:
            return
        try:
            fresh = self._fresh(section)
        except CredentialError as error:
            slot.failure, slot.failed = error, time.monotonic()
            ended = (
                slot.made is not None and slot.made.expires is not None and slot.made.expires <= time.time()
            )
            if ended:
                slot.made = None
            return
        how = "token-command" if "token_command" in section.lists else section.text("oauth_token_url")
        candidate = Candidate(
            fresh.token, section.name, f"{printable(how)} in {section.origin}", section.seen
        )
        slot.made, slot.failure = presented(candidate, expires=fresh.expires), None

    def _fresh(self, section: Section) -> Fresh:
        command = section.lists.get("token_command")
        if command:
            return run_command(command, section, self._means.environment)
        from .oauth import refreshed

        return refreshed(section, self._means)


def _recipe(section: Section) -> Iterator[tuple[str, str]]:
    """What tells apart the sections for reading and for writing. Stays in memory."""
    return ((key, value.reveal()) for key, value in section.values.items())


def run_command(command: tuple[str, ...], section: Section, environment: Mapping[str, str]) -> Fresh:
    """The token that a command prints, alone or as JSON with `access_token`. What it prints goes nowhere else.

    It gets no shell and no input, and of the environment nothing that is itself a secret.
    """
    if not section.trusted:
        raise Misconfigured(
            f"{section.origin}: its token-command is not run, because others can change the file",
            "make the file yours alone (mode 0600); --insecure-credentials does not reach that far",
        )
    output = _output(command, section, environment)
    what = f"what token-command of {section.origin} printed"
    return Fresh(token_in_text(output, what), _told_end(output))


def _output(command: tuple[str, ...], section: Section, environment: Mapping[str, str]) -> str:
    import signal
    import subprocess

    told = f"token-command {printable(command[0])} of {section.origin}"
    seconds = _timeout(section)
    kept = {name: value for name, value in environment.items() if not _is_secret(name)}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or "it cannot be an argument"
        raise Misconfigured(f"{told} cannot be started: {reason}", "check the path of the program") from None
    with process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            import os

            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise MissingCredential(
                f"{told} gave no token in {seconds:.0f} s", "run it by hand, or raise token-command-timeout"
            ) from None
    if process.returncode != 0:
        raise MissingCredential(
            f"{told} ended with exit code {process.returncode}", "run it by hand to see what it says"
        )
    return output[:_MOST_OUTPUT].decode("utf-8", "replace")


def _is_secret(variable: str) -> bool:
    return variable.startswith(_CHILD_NEVER_GETS) and not variable.startswith("BEARER_TOKEN_FILE")


def _timeout(section: Section) -> float:
    text = section.text("token_command_timeout")
    try:
        return float(text) if text else _COMMAND_SECONDS
    except ValueError:
        raise Misconfigured(
            f"{section.origin}: token-command-timeout is no number", "write seconds"
        ) from None


def _told_end(output: str) -> float | None:
    """When the token ends, in seconds since 1970, if a JSON answer says so."""
    import json

    try:
        found = json.loads(output)
    except ValueError:
        return None
    return end_of(found) if isinstance(found, dict) else None


def end_of(answer: Mapping[str, object]) -> float | None:
    """`expires_in` (RFC 6749, 5.1) counts from now; `expires_at` is a time."""
    lasts, at = answer.get("expires_in"), answer.get("expires_at")
    if isinstance(lasts, int | float) and lasts > 0:
        return time.time() + lasts
    return float(at) if isinstance(at, int | float) and at > 0 else None
