"""Configurations of adapters, of the shapes that are in use."""

from __future__ import annotations

from dataclasses import replace

from restore.storage.adapter_config import AdapterConfig, parse_adapter_config

LOCAL_FOLDER = """
env_vars:
  - key: FOLDER
    value: /nowhere
commands:
  create_backup: 'cd "$FOLDER" && mkdir -p "$BACKUP_NAME" && echo "$BACKUP_NAME"'
  create_for_write: |
    cd "$FOLDER/$BACKUP_HANDLE"
    PART=".$FILE_NAME.$$"
    trap 'rm -f "$PART"' EXIT
    test ! -e "$FILE_NAME" || { echo "$FILE_NAME is there already" >&2; exit 1; }
    printf '%s/%s' "$BACKUP_HANDLE" "$FILE_NAME"
    exec 1>&-
    gzip -c > "$PART"
    ln "$PART" "$FILE_NAME"
  open_for_read: 'cat "$FOLDER/$FILE_HANDLE" | gzip -cd'
  save_metadata_line: |
    mkdir -p "$FOLDER/metadata" && cd "$FOLDER/metadata"
    PART=".$FILE_NAME.$$"
    trap 'rm -f "$PART"' EXIT
    echo "metadata/$FILE_NAME"
    exec 1>&-
    gzip -c > "$PART"
    mv "$PART" "$FILE_NAME"
  list_metadata_files: >
    cd "$FOLDER" && (test -d metadata && cd metadata && ls -1 || exec) |
    while read -r name; do echo "metadata/$name"; done
  backup_metadata_file: 'cd "$FOLDER" && mkdir -p metadata_backup && mv metadata/$FILE_NAME metadata_backup/'
"""

S3 = """
env_vars: []
commands:
  create_backup: 'echo "$BACKUP_NAME"'
  create_for_write: |
    HANDLE="$BACKUP_HANDLE/$FILE_NAME"
    echo "$HANDLE"
    exec 1>&-  # so that the handle is complete
    gzip -c | aws s3 cp - "s3://$BUCKET/$SUB_DIR/$HANDLE"
  open_for_read: |
    # packed as it lies there
    aws s3 cp "s3://$BUCKET/$SUB_DIR/$FILE_HANDLE" - | gzip -cd
  save_metadata_line: |
    HANDLE="metadata/$FILE_NAME"
    echo "$HANDLE"
    exec 1>&-
    gzip -c | aws s3 cp - "s3://$BUCKET/$SUB_DIR/$HANDLE"
  list_metadata_files: |
    (aws s3 ls s3://$BUCKET/$SUB_DIR/metadata/ ||:) \\
    | sed -ne "s#.* \\(.*\\)#metadata/\\1#p"
  backup_metadata_file: >-
    aws s3 mv s3://$BUCKET/$SUB_DIR/metadata/$FILE_NAME
    s3://$BUCKET/$SUB_DIR/metadata_backup/$FILE_NAME --no-progress
"""

GSUTIL = """
env_vars:
- key: BUCKET
  value: some-bucket
- key: SUB_DIR
  value: e1
commands:
  create_backup: 'echo "$BACKUP_NAME"'
  create_for_write: |
    HANDLE="$BACKUP_HANDLE/$FILE_NAME"
    echo "$HANDLE"
    exec 1>&-
    gzip -c | gsutil -q cp - "gs://$BUCKET/$SUB_DIR/$HANDLE" > /dev/null
  open_for_read: 'gsutil -q cp "gs://$BUCKET/$SUB_DIR/$FILE_HANDLE" - | gzip -cd'
  save_metadata_line: |
    HANDLE="metadata/$FILE_NAME"
    echo "$HANDLE"
    exec 1>&-
    gzip -c | gsutil -q cp - "gs://$BUCKET/$SUB_DIR/$HANDLE" > /dev/null
  list_metadata_files: |
    (gsutil -q ls gs://$BUCKET/$SUB_DIR/metadata/ ||:) | sed -ne "s#gs://.*/metadata/#metadata/#p"
  backup_metadata_file: >-
    gsutil mv gs://$BUCKET/$SUB_DIR/metadata/$FILE_NAME
    gs://$BUCKET/$SUB_DIR/metadata_backup/$FILE_NAME
"""

GCLOUD = """
env_vars:
- {key: BUCKET, value: some-bucket}
- {key: SUB_DIR, value: e1}
commands:
  create_backup: 'echo "$BACKUP_NAME"'
  create_for_write: |
    HANDLE="$BACKUP_HANDLE/$FILE_NAME"
    echo "$HANDLE"
    exec 1>&-
    gzip -c | gcloud storage cp - "gs://$BUCKET/$SUB_DIR/$HANDLE" > /dev/null
  open_for_read: |
    KEPT=$(mktemp)
    trap "rm -f $KEPT" EXIT
    for round in {0..4}
    do
        if [ $round -gt 0 ]; then
            WAIT=$((10 * $round))
            echo "waiting $WAIT seconds before round $round" >&2
          sleep $WAIT
        fi
      gcloud storage cp "gs://$BUCKET/$SUB_DIR/$FILE_HANDLE" $KEPT 1>&2 || continue
      cat $KEPT | gzip -cd
      exit
    done
    echo "gave up after 5 rounds" >&2
    exit 1
  save_metadata_line: |
    HANDLE="metadata/$FILE_NAME"
    echo "$HANDLE"
    exec 1>&-
    gzip -c | gcloud storage cp - "gs://$BUCKET/$SUB_DIR/$HANDLE" > /dev/null
  list_metadata_files: |
    (gcloud storage ls gs://$BUCKET/$SUB_DIR/metadata/ ||:) | sed -ne "s#gs://.*/metadata/#metadata/#p"
  backup_metadata_file: >-
    gcloud storage mv gs://$BUCKET/$SUB_DIR/metadata/$FILE_NAME
    gs://$BUCKET/$SUB_DIR/metadata_backup/$FILE_NAME
"""


def load(text: str, **variables: str) -> AdapterConfig:
    """A configuration, with variables of its own besides those of the text."""
    config = parse_adapter_config(text, file="adapter.yaml")
    return replace(config, variables={**config.variables, **variables})


def of_commands(**commands: str) -> AdapterConfig:
    """A configuration without variables; commands that are not given fail."""
    names = (
        "create_backup",
        "create_for_write",
        "open_for_read",
        "save_metadata_line",
        "list_metadata_files",
    )
    return AdapterConfig("adapter.yaml", {}, {**dict.fromkeys(names, "exit 99"), **commands})
