"""What the manual says beyond the help texts: more of each option, environment, files, examples.

The man page and `docs/options.md` are made from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Final

    from .command_lines import Option


class Variable(NamedTuple):
    """Environment variables or files of one meaning."""

    names: tuple[str, ...]
    meaning: str


class Example(NamedTuple):
    command: str
    meaning: str


_ENTRY: Final = (
    "Its members are `url`, `path` (relative to the place), `type` (`file`, `folder`; in local folders also `link` and `other`), "
    "`size`, `version`, `modified` and `digests`; what is not known is null."
)

MORE: Final = {
    "--file": "The batch is a JSON array, JSON Lines, or the old `# src` text, always in UTF-8 (docs/batch.md).",
    "--dry-run": "Nothing is contacted; local folders are looked at for removals that would be refused. Exit code: 0; 1 if "
    "a request cannot start (for removals that are refused, unknown schemes, unset variables), or the code that all such "
    "failures have in common (78: a package is missing); 2 and 65 as in a run. A missing credential is told with where it "
    "was looked for, and changes no exit code, since it may be there where the batch is run.",
    "--check-credentials": "Exit code: 0 if every request has a way; 77 if credentials alone are in the way; else 1; 2 and "
    "65 as in a run. docs/preflight.md has its findings and its JSON document.",
    "--online": "Without it nothing is sent to a data server. Nothing is written by it either.",
    "--json": "Members of the object of a request: `index`, `id`, `type`, `lfn`, `source`, `destination`, `route`, `why`, "
    "`rejected`, `task_items`, `protocols`, `digest`, `credentials`, `missing`, `alternatives`, `problem`.",
    "--meta": "May be given again. All *.meta files of the working directory (not of the folder that the batch is in) are read as well.",
    "--processes": "Worth it where one Python process is the limit: tens of thousands of small files. There is one report, one "
    "deadline and one set of limits for each server, which all share; what a killed process had not finished is done "
    "by the others. The batch takes two to three times the memory that it takes in one process.",
    "--threads": "Adaptive: more while more are faster, up to 128, with a limit for each server that follows its answers. "
    "$PEGASUS_TRANSFER_THREADS is the default of this option.",
    "--max-attempts": "In one round each source of a request, and each destination, is tried once, unless what failed "
    "cannot change. Between rounds there is a pause only for hosts that failed: 0.2 s, doubled each time, at most 30 s, or what the server asks for.",
    "--symlink": "Only where both ends are local files with the same `site_label`. The size is compared, the digest only with --verify-links.",
    "--debug": "On standard error, with time and level. Secrets are left out there, too.",
    "--existing": "`overwrite` replaces what is there, at once and only by what is verified. `update` and `verify` compare "
    "digests: the expected one of the request, or else the source's SHA-256, with that of the destination (which its "
    "service tells, or which is read). Where they are the same nothing is moved, and the request is done (route "
    "`present`). Where they differ `update` overwrites, and `verify` fails with `exists`. `fail` fails with `exists` "
    "whatever is there. Time stamps are never compared.",
    "--stage": "By default bytes between two services stream through memory, or the service copies by itself. With this option they "
    "take the way of a spool file: the source is read once, however often the destination fails, and nothing is published before the whole is "
    "verified. A file of 32 MiB or more is sent on while it still comes, to destinations that take it in several requests or in a session (S3, "
    "Google Cloud Storage, SFTP, XRootD); others are opened when it is there and verified. Spool files are in $TMPDIR, 16 GiB of them at most.",
    "--deadline": "A duration is of days, hours, minutes and seconds (1d, 2h, 10m, 1h30m, 90 or 90s) from now; a time is "
    "ISO 8601 (2030-01-31T12:00, local unless it names a zone), or seconds since 1970. At that moment what is not finished "
    "is stopped in order, as by SIGTERM, and the exit code is 75. Default: $SLURM_JOB_END_TIME, or none.",
    "--expected-end": "That of --deadline is $SLURM_JOB_END_TIME; without any of them, now is what counts.",
    "--stall-seconds": "Progress is at least one byte; the attempt is then repeated, going on where it broke if the protocol can.",
    "--bwlimit": "500k, 10M, 1.5G; of all requests together. 0: no limit.",
    "--seed": "URLs without a priority get one from 1 to 100, drawn from a hash of logical name, URL and this text; so the "
    "same text gives the same order. Default: $PEGASUS_DAG_JOB_ID, $CONDOR_JOBID, $SLURM_JOB_ID, or host and process.",
    "--preserve": "`times`: as exactly as both ends have them; SFTP and HTTP know whole seconds. `modes`: read, write and execute for user, group "
    "and others, whatever the umask; without it a copy of a local file gets those that the umask leaves. Sources that tell times are local files, "
    "SFTP, HTTP and WebDAV, modes local files and SFTP; local files and SFTP can keep both (`wf-transfer protocols --json`). They are set when the copy is "
    "published and verified. What cannot be kept fails nothing: the `note` of the request tells it. Folders, links, and files that `--existing` "
    "leaves as they are get none.",
    "--require-evidence": "`none`: nothing is asked for beyond what is always compared. `size`: the destination tells the size that "
    "was sent. `checksum`: its service tells a checksum that matches, such as a CRC or MD5. `digest`: its service tells a matching SHA-2 digest "
    "of what it stored. `read-back`: the stored copy was read again. What a service does not tell is read back, if it can be; a copy that is known less "
    "well fails with `unverified`.",
    "--trust-server-copy": "Where one service holds both ends it copies by itself only if it tells a digest that can be compared with the "
    "expected one. With this option it does although nobody compared one.",
    "--verify-links": "A link is made without reading the file behind it; with this option that is read, hashed and compared.",
    "--keep-partials": "By default they are removed, apart from those of a run that was stopped. They are named .wf-... and lie beside the destination.",
    "--allow-dangerous-remove": "Removing `/`, a home, the working directory or a folder above it, a mount point or a whole bucket is refused without it.",
    "--credentials": "Before $WF_CREDENTIALS, $PEGASUS_CREDENTIALS and the files of the home (docs/credentials.md).",
    "--insecure-credentials": "Without it they are refused, with exit code 77.",
    "--result": "docs/results.md describes it. It is complete, also when the run was stopped.",
    "--events": "It is appended to. Its lines are described in docs/results.md.",
    "--journal": "A later run with the same journal goes on with uploads in parts that this one left unfinished. It is removed when nothing is left to go on with.",
    "--metrics-file": "Replaced as a whole, every five seconds and at the end.",
    "--manifest": "Names are relative to the manifest's folder, and absolute for files outside it: those need `wf-checksum -c --allow-absolute`.",
    "cp --follow-links": "Without -L links are not left out silently: each is a failure that names it, and the exit code is 1; "
    "everything else is copied. With -L a link to a folder that it is in, and one that leads nowhere, are failures. A link that is named as a source itself is always followed.",
    "cp --checksum": "The copy fails with exit code 3, and nothing appears at the destination, if the digest is another one.",
    "ls --json": _ENTRY,
    "stat --json": _ENTRY,
    "stat --digest": "sha256, md5, ... What no service tells, `wf-checksum -a ALG` computes.",
}
"""Further sentences about an option, by its long name, behind the command word if it is one of that alone."""


def told_of(option: Option, word: str = "") -> str:
    """All sentences about an option of the batch mode, or of a command word."""
    first = f"{option.help[0].upper()}{option.help[1:]}."
    more = MORE.get(" ".join(filter(None, (word, option.flags[-1]))), "")
    return f"{first} {more}".rstrip()


ENVIRONMENT: Final = (
    Variable(("PEGASUS_TRANSFER_THREADS",), "the default of -n"),
    Variable(("SLURM_JOB_END_TIME",), "the default of --deadline, in seconds since 1970"),
    Variable(
        ("PEGASUS_DAG_JOB_ID", "CONDOR_JOBID", "SLURM_JOB_ID"), "the default of --seed, the first that is set"
    ),
    Variable(
        ("WF_CREDENTIALS", "PEGASUS_CREDENTIALS"),
        "the path of a credentials file; with _SITE behind it, for that site alone",
    ),
    Variable(
        ("AWS_ACCESS_KEY_ID", "BEARER_TOKEN", "X509_USER_PROXY", "NETRC"),
        "and many more: credentials, also with _SITE behind the name (docs/credentials.md lists them all)",
    ),
    Variable(
        ("SSL_CERT_FILE", "SSL_CERT_DIR", "X509_CERT_DIR"), "certificate authorities in place of the system's"
    ),
    Variable(
        ("http_proxy", "https_proxy", "all_proxy", "no_proxy"), "HTTP proxies, and hosts that need none"
    ),
    Variable(
        ("OSG_SQUID_LOCATION",),
        "caching proxies, separated by semicolons: tried first for plain http, and done without when they fail",
    ),
    Variable(("TMPDIR",), "the folder of spool files"),
    Variable(("PEGASUS_MULTIPART_DIR",), "a folder for records of all attempts, as Pegasus reads them"),
    Variable(("KICKSTART_INTEGRITY_DATA",), "a file to which digests are appended that a batch asks for"),
    Variable(
        ("NO_COLOR", "TERM"), "no colours if NO_COLOR is set, and no progress line either if TERM is dumb"
    ),
)

FILES: Final = (
    Variable(("*.meta",), "in the working directory: expected sizes and checksums, by logical name"),
    Variable(
        ("~/.config/wf-transfer/credentials.toml", "~/.pegasus/credentials.conf"),
        "credentials; both are looked into, and have mode 0600",
    ),
    Variable(("~/.netrc",), "users and passwords of hosts"),
    Variable((".wf-*",), "beside a destination: a partial file of a copy that is not finished"),
    Variable(("FILE.journal",), "beside --result FILE: what a later run can go on with"),
)

EXAMPLES: Final = (
    Example("wf-transfer -f batch.json", "Does what the batch says."),
    Example("wf-transfer --dry-run -f batch.json", "Tells how it would be done."),
    Example(
        "wf-transfer --check-credentials --online --expected-end 6h -f batch.json",
        "Asks each server whether the credentials are good, and says which end within six hours.",
    ),
    Example(
        "wf-transfer -f batch.json -n 16 -m 5 --result result.json --manifest SHA256SUMS",
        "At most 16 requests at once, 5 rounds over all replicas; leaves the result document and the checksums.",
    ),
    Example(
        "wf-transfer cp --checksum sha256:HEX https://host/a.dat s3://alice@osn/bucket/in/",
        "Copies one file to in/a.dat, if it has that digest.",
    ),
    Example("wf-transfer cp -r results s3://alice@osn/bucket/", "Copies a folder to bucket/results."),
    Example(
        "wf-transfer cp -r results/. s3://alice@osn/bucket/run7/",
        "Copies what is in the folder to bucket/run7.",
    ),
    Example(
        "wf-transfer cp -rL --existing update data /mnt/backup/",
        "Copies what is new or different, links as files.",
    ),
    Example("wf-transfer ls -l s3://alice@osn/bucket/results/", "Lists with size and time."),
)
