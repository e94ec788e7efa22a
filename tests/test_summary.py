"""The summary: who must act on what, and one line for the whole run."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from outcomes_made import NAMES, attempt, done, ending, failed, location, made_directory, skipped, transfer
from wf.protocols import errors
from wf.transfer.outcomes import Outcome, Status
from wf.transfer.summary import SummarySink, human_bytes, human_seconds


def summary_of(*outcomes: Outcome, colour: bool = False, stopped: bool = False, most: int = 200) -> str:
    stream = io.StringIO()
    sink = SummarySink(stream, colour=colour, shown_most=most)
    for outcome in outcomes:
        sink.take(outcome)
    sink.end(ending(*outcomes, stopped=stopped))
    return stream.getvalue()


def test_success_is_one_line() -> None:
    text = summary_of(*(done(transfer(number), bytes=3 << 20) for number in range(2)))
    assert text == "2 transfers, 6.0 MiB in 2.00 s (3.0 MiB/s), all done\n"


def test_a_failure_names_item_step_reason_ends_remedy_and_what_was_left() -> None:
    error = errors.NotFound("GET http://data.example/f: 404 Not Found")
    assert summary_of(failed(error, left_behind="/data/f")).splitlines() == [
        "failed   f.0: read (source): GET http://data.example/f: 404 Not Found [not-found]",
        "         http://data.example/f -> file:///data/f",
        "         what to do: check the URL, and that the file was produced and not cleaned up",
        "         left behind, wrong or unfinished: /data/f",
        "1 transfer, 0 bytes in 2.00 s, 1 failed, 0 done (exit code 1)",
    ]


def test_a_step_that_names_its_end_is_not_followed_by_it() -> None:
    text = summary_of(failed(errors.NotFound("nothing there", end=errors.End.SOURCE, step="open source")))
    assert "f.0: open source: nothing there [not-found]" in text


def test_a_request_that_never_began_shows_where_it_would_have_gone() -> None:
    text = summary_of(skipped(errors.Denied("request 3 did not succeed")))
    assert "skipped  f.0: request 3 did not succeed [denied]" in text
    assert "http://data.example/f -> file:///data/f" in text


def test_failed_comes_before_skipped_and_stopped() -> None:
    text = summary_of(
        Outcome(transfer(1), Status.STOPPED),
        skipped(errors.Broken("x"), transfer(2)),
        failed(errors.Broken("x"), transfer(3)),
        stopped=True,
    )
    assert text.index("f.3") < text.index("f.2") < text.index("f.1")
    assert "1 failed, 1 skipped, 1 not finished, 0 done (exit code 75)" in text


def test_other_requests_are_counted_beside_the_transfers() -> None:
    assert summary_of(done(), made_directory()).startswith("1 transfer and 1 other request, 6 bytes in ")


def test_what_was_overcome_is_mentioned_and_not_listed() -> None:
    request = transfer(linkage="input")
    healed = (attempt(request, errors.Broken("cut")), attempt(request))
    text = summary_of(
        done(request, attempts=healed, checked=True), done(note="confirmed by the destination"), done()
    )
    assert text.count("\n") == 1
    assert "all done; 1 needed another try (4 attempts); 1 digest compared, all match" in text
    assert text.endswith("; 1 request: confirmed by the destination\n")


def test_the_legs_of_a_staged_transfer_are_no_other_try() -> None:
    request = transfer()
    legs = (attempt(request, route="staged"), attempt(request, route="staged"))
    assert "another try" not in summary_of(done(request, attempts=legs))
    healed = (attempt(request, errors.Broken("cut")), *legs)
    text = summary_of(done(request, attempts=healed), done(request, attempts=legs))
    assert "; 1 needed another try (" in text


def noted(*notes: str) -> list[str]:
    """What the closing line says of requests with these notes."""
    return summary_of(*(done(note=note) for note in notes)).rstrip("\n").split("; ")[1:]


def test_a_note_begins_with_how_many_requests_it_is_about() -> None:
    assert noted("167772160 bytes were there from an earlier run") == [
        "1 request: 160.0 MiB were there from an earlier run"
    ]
    assert noted(*["found there already"] * 1200) == ["1,200 requests: found there already"]


def test_notes_that_differ_only_in_numbers_are_one_remark() -> None:
    notes = [f"went on at byte {number} of an earlier run" for number in (7, 7, 1024, 30000)]
    assert noted(*notes) == ["2 requests: went on at byte 7 of an earlier run (2 more with other numbers)"]


def test_a_few_notes_are_shown_and_the_others_counted() -> None:
    notes = [f"done by task {letter}" for letter in "abcdefghijkl"]
    shown = [f"1 request: done by task {letter}" for letter in "abc"]
    assert noted(*notes, "found there already") == [
        *shown,
        "1 request: done by task d",
        "9 requests with other notes",
    ]
    assert noted(*notes, *["done by task h"] * 2)[0] == "3 requests: done by task h"


def test_secrets_and_commands_in_notes_are_not_shown() -> None:
    (note,) = noted("times not kept: PUT https://user:pa55word@data.example/f: \x1b[2J")
    assert "pa55word" not in note and note.isprintable()


def test_a_mismatch_is_counted() -> None:
    text = summary_of(failed(errors.Mismatch("differs"), checked=True))
    assert "exit code 3" in text and "1 digest compared, 1 did not match" in text


def test_a_thousand_failures_are_shown_in_part_and_counted_in_full() -> None:
    outcomes = [failed(errors.Broken("cut"), transfer(number)) for number in range(1000)]
    outcomes.append(failed(errors.NotFound("404"), transfer(1000)))
    text = summary_of(*outcomes, most=20)
    assert text.count("[broken]") == 20
    assert "and 981 more failed: 980 broken, 1 not-found" in text


def test_colours_are_there_only_when_asked_for() -> None:
    outcome = failed(errors.Broken("cut"))
    assert "\x1b[31mfailed  \x1b[0m f.0" in summary_of(outcome, colour=True)
    assert "\x1b" not in summary_of(outcome)


@given(NAMES)
def test_no_name_reaches_the_terminal_as_a_command(name: str) -> None:
    request = transfer(lfn=name, destinations=(location("file:///" + name),))
    text = summary_of(failed(errors.Broken(f"reading {name}"), request, left_behind="/" + name))
    assert text.count("\n") == 5
    assert all(line.isprintable() for line in text.split("\n"))


def test_secrets_are_not_shown() -> None:
    url = "https://user:pa55word@data.example/f?token=c0ffee"
    text = summary_of(failed(errors.Denied(f"GET {url}: 403"), transfer(sources=(location(url),))))
    assert "pa55word" not in text and "c0ffee" not in text and "***" in text


def test_a_closed_stream_fails_nothing() -> None:
    stream = io.StringIO()
    sink = SummarySink(stream, colour=False)
    stream.close()
    sink.end(ending())


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 60, "1024.0 PiB"),
    ],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.00 s"), (9.99, "9.99 s"), (59.94, "59.9 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text
