#!/bin/sh
# A job as a workflow system's wrapper runs it on a worker: stage in, check, compute, stage out, clean up.
#
# What to move comes in variables: INPUT_URL with INPUT_SUM, REPLICA_URL, LOCAL_INPUT, S3_INPUT, S3_PREFIX, HTTP_OUTPUT.
# The records stay where the wrapper was started; the working folder goes.
set -e
umask 022

start=$PWD
work=$start/work
mkdir "$work"
cd "$work"

# Whatever happens the records are shown to the workflow system, and the exit code stays that of what failed.
finish() {
    code=$?
    cd "$start"
    for record in "$PEGASUS_MULTIPART_DIR"/*; do
        [ -f "$record" ] || continue
        printf '\n---------------pegasus-multipart\n'
        cat "$record"
    done
    exit "$code"
}
trap finish EXIT

wf-transfer --result "$start/stage-in.json" --manifest inputs.sha256 -n 4 -m 2 <<BATCH
[
  { "type": "mkdir", "id": "folders", "target": { "site_label": "compute", "url": "file://\$PWD/inputs/deep" } },
  { "type": "transfer", "id": 1, "lfn": "events.txt", "linkage": "input",
    "attributes": { "checksum.type": "sha256", "checksum.value": "$INPUT_SUM", "size": "$INPUT_SIZE" },
    "src_urls": [ { "site_label": "mirror", "url": "$REPLICA_URL", "priority": 20 },
                  { "site_label": "archive", "url": "$INPUT_URL", "priority": 10, "checkpoint": "false" } ],
    "dest_urls": [ { "site_label": "compute", "url": "file://\$PWD/inputs/events.txt" } ] },
  { "type": "transfer", "id": 2, "lfn": "local.txt", "linkage": "input", "generate_checksum": true,
    "src_urls": [ { "site_label": "local", "url": "file://$LOCAL_INPUT" } ],
    "dest_urls": [ { "site_label": "compute", "url": "file://\$PWD/inputs/deep/local.txt" } ] },
  { "type": "transfer", "id": 3, "lfn": "stored.txt", "linkage": "input", "generate_checksum": true,
    "src_urls": [ { "site_label": "store", "url": "$S3_INPUT" } ],
    "dest_urls": [ { "site_label": "compute", "url": "inputs/stored.txt" } ] }
]
BATCH

wf-checksum -c --strict inputs.sha256 >&2

# The program: how often each word occurs.
cat inputs/events.txt inputs/deep/local.txt inputs/stored.txt | tr -s ' \t' '\n' | LC_ALL=C sort |
    uniq -c | awk '{ print $2, $1 }' >counts.txt

wf-transfer --result "$start/stage-out.json" --require-evidence size <<BATCH
[
  { "type": "transfer", "id": 1, "lfn": "counts.txt", "linkage": "output", "generate_checksum": true,
    "verify_checksum_remote": true,
    "checksum": { "type": "sha256", "value": "$(wf-checksum counts.txt | cut -d ' ' -f 1)" },
    "src_urls": [ { "site_label": "compute", "url": "file://\$PWD/counts.txt" } ],
    "dest_urls": [ { "site_label": "store", "url": "$S3_PREFIX/counts.txt" } ] },
  { "type": "transfer", "id": 2, "lfn": "events.txt", "linkage": "output",
    "checksum": { "type": "sha256", "value": "$INPUT_SUM" },
    "src_urls": [ { "site_label": "archive", "url": "$INPUT_URL" } ],
    "dest_urls": [ { "site_label": "store", "url": "$S3_PREFIX/events.txt" } ] }
]
BATCH

wf-transfer --result "$start/publish.json" <<BATCH
[
  { "type": "transfer", "id": 1, "lfn": "counts.txt", "linkage": "output", "generate_checksum": true,
    "src_urls": [ { "site_label": "compute", "url": "file://\$PWD/counts.txt" } ],
    "dest_urls": [ { "site_label": "web", "url": "$HTTP_OUTPUT/counts.txt" } ] }
]
BATCH

cd "$start"
wf-transfer --result cleanup.json <<BATCH
[
  { "type": "remove", "id": 1, "target": { "site_label": "compute", "url": "file://$work", "recursive": "True" } },
  { "type": "remove", "id": 2, "target": { "site_label": "store", "url": "$S3_INPUT", "recursive": "False" } }
]
BATCH
