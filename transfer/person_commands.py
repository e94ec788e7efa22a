"""The command words of `wf-transfer`: what a batch does, for a person in a hurry, and answers about this installation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .person_parsers import CHOICES, PAGES, command_parser, parse
from .places import place

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from ..protocols.locations import Location
    from .asking import Stores
    from .outcomes import Outcome
    from .requests import Batch
    from .sinks import Sink
    from .surroundings import CredentialSource

    Environment = Mapping[str, str]


def run_command(word: str, arguments: list[str], environment: Mapping[str, str]) -> int:
    """Does what the command word says; returns the exit code. SystemExit is raised for --help and wrong usage."""
    parser = command_parser(word)
    options = parse(parser, arguments)
    if getattr(options, "debug", False):
        from .options import log_everything

        log_everything()
    code = _COMMANDS[word](parser, options, environment)
    if sys.stdout is not None:
        # Here, where a pipe that nobody reads is still an exception that can be answered.
        sys.stdout.flush()
    return code


def _places(
    parser: ArgumentParser, words: Sequence[str], site: str, environment: Environment
) -> list[Location]:
    if not words:
        parser.error("name at least one place")
    try:
        return [place(word, site, environment) for word in words]
    except ValueError as error:
        parser.error(str(error))


def _credentials(options: Namespace, environment: Environment) -> CredentialSource:
    from .options import credentials_from

    return credentials_from(options, environment)


def _stores(options: Namespace, environment: Environment, credentials: CredentialSource) -> Stores:
    from .asking import Stores

    return Stores(
        credentials,
        environment,
        stall=options.stall_seconds,
        accept_new_host_keys=options.accept_new_host_keys,
    )


# --- commands that the engine does


def _cp(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from ..protocols.errors import TransferError
    from .asking import exit_of
    from .copy_requests import copies
    from .listing import tell

    if len(options.words) < 2:
        parser.error("name at least one source, and then the destination")
    if "-" in options.words:
        parser.error(
            "streams are not copied: `-` is neither a source nor a destination (a file of that name is ./-)"
        )
    sources = _places(parser, options.words[:-1], options.source_site, environment)
    (destination,) = _places(parser, options.words[-1:], options.destination_site, environment)
    if options.checksum and (len(sources) > 1 or options.recursive):
        parser.error("--checksum is for a single source, without -r")
    credentials = _credentials(options, environment)
    with _stores(options, environment, credentials) as stores:
        try:
            found = copies(
                stores,
                sources,
                destination,
                recursive=options.recursive,
                follow=options.follow_links,
                expected=options.checksum,
            )
        except ValueError as error:
            parser.error(str(error))
        except TransferError as error:
            tell(error)
            return exit_of([(destination, error)])
    return _run(parser, found.batch, options, credentials, environment, found.refused)


def _mkdir(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from .requests import Batch, MakeDirectory

    places = _places(parser, options.words, options.site, environment)
    batch = Batch(tuple(MakeDirectory(number, "", target) for number, target in enumerate(places)))
    return _run(parser, batch, options, _credentials(options, environment), environment)


def _rm(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from .requests import Batch, Remove

    places = _places(parser, options.words, options.site, environment)
    batch = Batch(
        tuple(Remove(number, "", target, options.recursive) for number, target in enumerate(places))
    )
    return _run(parser, batch, options, _credentials(options, environment), environment)


def _run(
    parser: ArgumentParser,
    batch: Batch,
    options: Namespace,
    credentials: CredentialSource,
    environment: Environment,
    refused: Sequence[Outcome] = (),
) -> int:
    """Runs the requests as a batch would be, with progress and summary."""
    import threading

    from .batch_command import execute, people_sinks
    from .options import settings_from
    from .planning import plan
    from .refused_items import WithRefused, exit_with

    try:
        made = plan(batch, settings_from(options, environment))
    except ValueError as error:
        parser.error(str(error))
    if options.dry_run:
        from .explanation import print_plan

        return print_plan(made, credentials, sys.stdout, as_json=False, refused=refused)
    stop = threading.Event()
    sinks = [*_record_sinks(options), *people_sinks(environment)]
    if refused:
        sinks = [WithRefused(sink, refused) for sink in sinks]
    code = execute(made, sinks, credentials, environment, stop)
    return exit_with(code, refused, stopped=stop.is_set())


def _record_sinks(options: Namespace) -> list[Sink]:
    """The reports for programs that the options ask for."""
    sinks: list[Sink] = []
    if getattr(options, "manifest", None):
        from .manifest_sink import ManifestSink

        sinks.append(ManifestSink(options.manifest))
    if options.result:
        from .result import ResultSink
        from .version import VERSION

        sinks.append(ResultSink(options.result, tool_version=VERSION))
    return sinks


# --- commands that ask


def _ls(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from .listing import list_places

    places = _places(parser, options.words or ["."], options.site, environment)
    with _stores(options, environment, _credentials(options, environment)) as stores:
        return list_places(
            stores, places, long=options.long, recursive=options.recursive, as_json=options.json
        )


def _stat(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from .listing import describe_places

    places = _places(parser, options.words, options.site, environment)
    with _stores(options, environment, _credentials(options, environment)) as stores:
        return describe_places(stores, places, algorithm=options.digest, as_json=options.json)


# --- commands about this installation


def _protocols(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from .protocols_page import as_json, as_text

    if options.words:
        parser.error(f"{options.words[0]!r} is one word too many")
    sys.stdout.write(as_json() if options.json else as_text())
    return 0


def _doctor(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from .doctor import examine
    from .doctor_report import as_json, as_text, exit_of

    if options.words:
        parser.error(f"{options.words[0]!r} is one word too many")
    facts = examine(environment, credentials_file=options.credentials)
    sys.stdout.write(as_json(facts) if options.json else as_text(facts))
    return exit_of(facts)


def _globus(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from .globus_login import run

    what, *collections = options.words or [""]
    if what not in ("login", "logout") or (what == "logout" and collections):
        parser.error("write `login`, perhaps with collections, or `logout`")
    return run(what, collections, options.client_id, environment)


def _completion(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from .completion import script

    sys.stdout.write(script(_choice(parser, "completion", options.words)))
    return 0


def _man(parser: ArgumentParser, options: Namespace, environment: Environment) -> int:
    from .manpage import page

    sys.stdout.write(page(_choice(parser, "man", options.words or [PAGES[0]])))
    return 0


def _choice(parser: ArgumentParser, word: str, words: Sequence[str]) -> str:
    if len(words) != 1 or words[0] not in CHOICES[word]:
        parser.error(f"name one of {', '.join(CHOICES[word])}")
    return words[0]


_COMMANDS: Final[dict[str, Callable[[ArgumentParser, Namespace, Environment], int]]] = {
    "cp": _cp,
    "mkdir": _mkdir,
    "rm": _rm,
    "ls": _ls,
    "stat": _stat,
    "protocols": _protocols,
    "doctor": _doctor,
    "globus": _globus,
    "completion": _completion,
    "man": _man,
}
