"""Which configurations are known to lead to a bucket, and which are left to the shell."""

from __future__ import annotations

import pytest

from restore.storage.place import Place
from restore.storage.recognise import recognise
from tests.storage.adapter_configs import GCLOUD, GSUTIL, LOCAL_FOLDER, S3, load, of_commands

BUCKET = {"BUCKET": "some-bucket", "SUB_DIR": "e1"}

S3_URL = "s3://$BUCKET/$SUB_DIR"
GS_URL = "gs://$BUCKET/$SUB_DIR"

AWS_READ = f'aws s3 cp "{S3_URL}/$FILE_HANDLE" - | gzip -cd'
AWS_LIST = rf'(aws s3 ls {S3_URL}/metadata/ ||:) | sed -ne "s#.* \(.*\)#metadata/\1#p"'
S5_READ = AWS_READ.replace("aws s3 cp", "s5cmd cat").replace(" - ", " ")
S5_LIST = AWS_LIST.replace("aws s3 ls", "s5cmd ls")
GSUTIL_READ = f'gsutil -q cp "{GS_URL}/$FILE_HANDLE" - | gzip -cd'
GSUTIL_LIST = f'(gsutil -q ls {GS_URL}/metadata/ ||:) | sed -ne "s#gs://.*/metadata/#metadata/#p"'
GCLOUD_READ = GSUTIL_READ.replace("gsutil -q", "gcloud storage")
GCLOUD_LIST = GSUTIL_LIST.replace("gsutil -q", "gcloud storage")
GCLOUD_LOOP = load(GCLOUD).commands["open_for_read"]

S3_PLACE = Place("s3", "some-bucket", "e1")
GS_PLACE = Place("gs", "some-bucket", "e1")


def place_of(
    read: str, listing: str, own: dict[str, str] | None = None, environment: dict[str, str] | None = None
) -> Place | None:
    """Where the commands lead; the bucket is the process's unless something is given."""
    text = of_commands(open_for_read=read, list_metadata_files=listing)
    config = type(text)(text.file, own or {}, text.commands)
    return recognise(config, BUCKET if environment is None else environment)


@pytest.mark.parametrize(
    ("text", "place"), [(S3, S3_PLACE), (GSUTIL, GS_PLACE), (GCLOUD, GS_PLACE), (LOCAL_FOLDER, None)]
)
def test_configurations_in_use_are_known(text: str, place: Place | None) -> None:
    assert recognise(load(text), BUCKET) == place


KNOWN = {
    "aws": (AWS_READ, AWS_LIST, S3_PLACE),
    "unsigned": (
        AWS_READ.replace(" - ", " - --no-sign-request "),
        AWS_LIST.replace(" ||:", " --no-sign-request ||:"),
        Place("s3", "some-bucket", "e1", anonymous=True),
    ),
    "options before the words": (
        AWS_READ.replace("aws", "aws --no-sign-request"),
        AWS_LIST.replace("aws", "aws --no-sign-request"),
        Place("s3", "some-bucket", "e1", anonymous=True),
    ),
    "more tries": (f"AWS_MAX_ATTEMPTS=100 {AWS_READ}", AWS_LIST, S3_PLACE),
    "an endpoint": (
        AWS_READ.replace("aws", 'aws --endpoint-url="https://s3.example:9000"'),
        AWS_LIST.replace("s3 ls", "s3 ls --endpoint-url https://s3.example:9000"),
        Place("s3", "some-bucket", "e1", endpoint="https://s3.example:9000"),
    ),
    "a region": (
        AWS_READ.replace("aws", "aws --region eu-west-1"),
        AWS_LIST.replace("aws", "aws --region=eu-west-1"),
        Place("s3", "some-bucket", "e1", region="eu-west-1"),
    ),
    "s5cmd": (S5_READ, S5_LIST, S3_PLACE),
    "s5cmd unsigned": (
        S5_READ.replace("s5cmd", "s5cmd --no-sign-request"),
        S5_LIST.replace("s5cmd", "s5cmd --no-sign-request"),
        Place("s3", "some-bucket", "e1", anonymous=True),
    ),
    "gsutil": (GSUTIL_READ, GSUTIL_LIST, GS_PLACE),
    "gsutil, talking": (GSUTIL_READ.replace(" -q", ""), GSUTIL_LIST.replace(" -q", ""), GS_PLACE),
    "gcloud": (GCLOUD_READ, GCLOUD_LIST, GS_PLACE),
    "gcloud in a loop": (GCLOUD_LOOP, GCLOUD_LIST, GS_PLACE),
    "a loop of two": (GCLOUD_LOOP.replace("{0..4}", "{0..1}"), GCLOUD_LIST, GS_PLACE),
    "a quiet loop": (GCLOUD_LOOP.replace('echo "waiting', '# "'), GCLOUD_LIST, GS_PLACE),
    "two programs": (GSUTIL_READ, GCLOUD_LIST, GS_PLACE),
    "a failing lister that fails": (AWS_READ, AWS_LIST.replace("(", "", 1).replace(" ||:)", "", 1), S3_PLACE),
    "blanks": (AWS_READ.replace(" ", " \t "), AWS_LIST.replace(" |", " \\\n  |"), S3_PLACE),
    "lines": (f"\n# what it does\n\n  {AWS_READ}\n", f"#\n{AWS_LIST}\n", S3_PLACE),
    "braces": (
        AWS_READ.replace("$FILE_HANDLE", "${FILE_HANDLE}"),
        AWS_LIST.replace("$BUCKET", "${BUCKET}"),
        S3_PLACE,
    ),
    "quotes": (AWS_READ.replace('"', ""), AWS_LIST.replace(f"{S3_URL}/metadata/", f'"{S3_URL}/metadata/"'),
               S3_PLACE),
    "-dc": (AWS_READ.replace("-cd", "-dc"), AWS_LIST, S3_PLACE),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_shape_leads_to_its_place(name: str) -> None:
    read, listing, place = KNOWN[name]
    assert place_of(read, listing) == place


UNKNOWN_READS = {
    "not packed": AWS_READ.replace(" | gzip -cd", ""),
    "packed once more": AWS_READ.replace("gzip -cd", "gzip -cd | gzip -cd"),
    "packed in another way": AWS_READ.replace("gzip -cd", "zstd -cd"),
    "another option of gzip": AWS_READ.replace("gzip -cd", "gzip -cdf"),
    "zcat": AWS_READ.replace("gzip -cd", "zcat"),
    "in between": AWS_READ.replace("| gzip", "| tee /tmp/copy | gzip"),
    "a filter": f"{AWS_READ} | head -c 10",
    "before": f"sleep 1; {AWS_READ}",
    "on a line before": f"export AWS_PROFILE=other\n{AWS_READ}",
    "after": f"{AWS_READ}\necho done >&2",
    "a comment behind": f"{AWS_READ} # but how",
    "in the background": f"{AWS_READ} &",
    "a redirection": AWS_READ.replace(" -", " - 2>/dev/null"),
    "a profile": AWS_READ.replace("aws", "aws --profile other"),
    "an option that is not known": AWS_READ.replace("aws", "aws --no-verify-ssl"),
    "an option behind": AWS_READ.replace(" - ", " - --request-payer "),
    "a flag with a value": AWS_READ.replace(" - ", " - --no-sign-request=x "),
    "an option without its value": AWS_READ.replace(" - ", " - --endpoint-url "),
    "an empty value": AWS_READ.replace("aws", 'aws --endpoint-url=""'),
    "an endpoint that is no URL": AWS_READ.replace("aws", "aws --endpoint-url s3.example"),
    "an endpoint that is not set": AWS_READ.replace("aws", 'aws --endpoint-url "$ELSEWHERE"'),
    "an option of another program": AWS_READ.replace("aws", "aws -q"),
    "a variable before": f"AWS_PROFILE=other {AWS_READ}",
    "another variable before": f"AWS_MAX_ATTEMPTS=$N {AWS_READ}",
    "another program": AWS_READ.replace("aws", "aws2"),
    "a program by its path": AWS_READ.replace("aws", "/usr/local/bin/aws"),
    "another verb": AWS_READ.replace(" cp ", " mv "),
    "of another service": AWS_READ.replace("s3://", "gs://"),
    "into a file": AWS_READ.replace(" - ", " /dev/stdout "),
    "two files": AWS_READ.replace(" - ", f" {S3_URL}/$FILE_HANDLE - "),
    "another file": AWS_READ.replace("$FILE_HANDLE", "$FILE_HANDLE.gz"),
    "a folder between": AWS_READ.replace("$FILE_HANDLE", "data/$FILE_HANDLE"),
    "another name": AWS_READ.replace("$FILE_HANDLE", "$FILE_NAME"),
    "a name that is shortened": AWS_READ.replace("$FILE_HANDLE", "${FILE_HANDLE%.gz}"),
    "no folder of the file's own": AWS_READ.replace("/$FILE_HANDLE", "$FILE_HANDLE"),
    "a command inside": AWS_READ.replace("$SUB_DIR", "$(date +%F)"),
    "a command inside, of old": AWS_READ.replace("$SUB_DIR", "`date`"),
    "a default": AWS_READ.replace("$SUB_DIR", "${SUB_DIR:-e1}"),
    "a variable that is not set": AWS_READ.replace("$SUB_DIR", "$ERA"),
    "a parameter": AWS_READ.replace("$SUB_DIR", "$FILE_NAME"),
    "one of bash's": AWS_READ.replace("$SUB_DIR", "$1"),
    "not expanded": AWS_READ.replace('"', "'"),
    "escaped": AWS_READ.replace("$SUB_DIR", "\\$SUB_DIR"),
    "a pattern": AWS_READ.replace("$SUB_DIR", "e*"),
    "braces with a choice": AWS_READ.replace("$SUB_DIR", "e{1,2}"),
    "no bucket": AWS_READ.replace("$BUCKET", ""),
    "an empty folder": AWS_READ.replace("$SUB_DIR", "/$SUB_DIR"),
    "a folder above": AWS_READ.replace("$SUB_DIR", ".."),
    "another folder": AWS_READ.replace("$SUB_DIR", "e2"),
    "another bucket": AWS_READ.replace("$BUCKET", "other-bucket"),
    "unsigned, while the other is signed": AWS_READ.replace("aws", "aws --no-sign-request"),
    "elsewhere, while the other is not": AWS_READ.replace("aws", "aws --endpoint-url http://s3.example"),
    "azcopy": 'azcopy cp --from-to BlobPipe "https://$BUCKET.blob.example/$SUB_DIR/$FILE_HANDLE" | gzip -cd',
    "curl": 'curl -s "https://$BUCKET/$SUB_DIR/$FILE_HANDLE" | gzip -cd',
    "nothing": "",
    "of gcloud": GCLOUD_READ,
}


@pytest.mark.parametrize("name", UNKNOWN_READS)
def test_a_reader_that_is_nearly_known_is_left_to_the_shell(name: str) -> None:
    assert UNKNOWN_READS[name] != AWS_READ
    assert place_of(AWS_READ, AWS_LIST) is not None
    assert place_of(UNKNOWN_READS[name], AWS_LIST) is None


UNKNOWN_LISTS = {
    "no sed": AWS_LIST.partition(" | sed")[0],
    "another sed": AWS_LIST.replace("-ne", "-ne1"),
    "a script of two": AWS_LIST.replace("#p", "#p;s#a#b#"),
    "a script with a blank more": AWS_LIST.replace(".* ", ".*  "),
    "another column": AWS_LIST.replace(r"\1", r"\2"),
    "another script": AWS_LIST.replace(r"s#.* \(.*\)#metadata/\1#p", "s#gs://.*/metadata/#metadata/#p"),
    "another program besides": AWS_LIST.replace("||:", "|| true"),
    "half a bracket": AWS_LIST.replace("(", "", 1),
    "another verb": AWS_LIST.replace(" ls ", " sync "),
    "all below": AWS_LIST.replace(" ls ", " ls --recursive "),
    "another folder": AWS_LIST.replace("/metadata/ ", "/metadata_backup/ "),
    "a beginning": AWS_LIST.replace("/metadata/ ", "/metadata "),
    "another place": AWS_LIST.replace("$SUB_DIR", "e2"),
    "sorted": f"{AWS_LIST} | sort",
    "of gsutil": GSUTIL_LIST,
    "python": "python -c 'print()'",
}


@pytest.mark.parametrize("name", UNKNOWN_LISTS)
def test_a_lister_that_is_nearly_known_is_left_to_the_shell(name: str) -> None:
    assert UNKNOWN_LISTS[name] != AWS_LIST
    assert place_of(AWS_READ, UNKNOWN_LISTS[name]) is None


UNKNOWN_LOOPS = {
    "another file": GCLOUD_LOOP.replace("cat $KEPT", "cat $BUCKET"),
    "another program": GCLOUD_LOOP.replace("gcloud storage cp", "curl -o"),
    "a program that writes to stdout": GCLOUD_LOOP.replace("gcloud storage", "gsutil"),
    "it goes on after a failure": GCLOUD_LOOP.replace("|| continue", "|| :"),
    "not packed": GCLOUD_LOOP.replace("| gzip -cd", ""),
    "it ends well": GCLOUD_LOOP.replace("exit 1", "exit 0"),
    "no end": GCLOUD_LOOP.replace("  exit\n", "\n"),
    "a line more": GCLOUD_LOOP.replace("done\n", "done\ndate\n"),
    "a command in a text": GCLOUD_LOOP.replace("gave up", "$(date)"),
    "the bucket's name is changed": GCLOUD_LOOP.replace("KEPT", "BUCKET"),
    "the folder's name is changed": GCLOUD_LOOP.replace("round", "SUB_DIR"),
    "all on one line": " ".join(GCLOUD_LOOP.split()),
}


@pytest.mark.parametrize("name", UNKNOWN_LOOPS)
def test_a_loop_that_is_nearly_known_is_left_to_the_shell(name: str) -> None:
    assert UNKNOWN_LOOPS[name] != GCLOUD_LOOP
    assert place_of(UNKNOWN_LOOPS[name], GCLOUD_LIST) is None


def test_a_variable_of_the_configuration_comes_before_one_of_the_process() -> None:
    own = {"BUCKET": "own-bucket", "SUB_DIR": "a/b"}
    assert place_of(AWS_READ, AWS_LIST, own) == Place("s3", "own-bucket", "a/b")
    assert place_of(AWS_READ, AWS_LIST, {"SUB_DIR": "e9"}) == Place("s3", "some-bucket", "e9")
    assert place_of(AWS_READ, AWS_LIST, {}, {"BUCKET": "some-bucket"}) is None


def test_what_is_called_a_bucket_may_have_a_folder() -> None:
    own = {"BUCKET": "some-bucket/backup1", "SUB_DIR": "e1"}
    assert place_of(GSUTIL_READ, GSUTIL_LIST, own) == Place("gs", "some-bucket", "backup1/e1")


@pytest.mark.parametrize(
    "value", ["", " ", "a b", "*", "/", "a//b", "a/", "/a", "..", "a:b", "a?", "[a]", "~", "a\n", "$X",
              "naïve", "%41", '"'],
)  # fmt: skip
def test_a_value_that_a_shell_might_change_is_left_to_it(value: str) -> None:
    assert place_of(AWS_READ, AWS_LIST, {"SUB_DIR": value}) is None
    assert place_of(AWS_READ, AWS_LIST, {"BUCKET": value}) is None


@pytest.mark.parametrize(
    "name", ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "HTTPS_PROXY", "HOME", "PATH", "UNUSED",
             "AWS_MAX_ATTEMPTS", "AWS_CA_BUNDLE", "FILE_HANDLE"],
)  # fmt: skip
def test_what_a_configuration_sets_for_its_programs_is_left_to_them(name: str) -> None:
    assert place_of(AWS_READ, AWS_LIST, {name: "x"}) is None
    assert place_of(GSUTIL_READ, GSUTIL_LIST, {name: "x"}) is None


def test_a_region_that_the_configuration_sets_is_taken_up() -> None:
    place = Place("s3", "some-bucket", "e1", region="eu-west-1")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        assert place_of(AWS_READ, AWS_LIST, {name: "eu-west-1"}) == place
        assert place_of(S5_READ, S5_LIST, {name: "eu-west-1"}) == place
        # The process's own region is what requests of ours look up themselves.
        assert place_of(AWS_READ, AWS_LIST, {}, {**BUCKET, name: "eu-west-1"}) == S3_PLACE
    assert place_of(GSUTIL_READ, GSUTIL_LIST, {"AWS_REGION": "eu-west-1"}) is None


def test_of_two_regions_none_is_chosen() -> None:
    two = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}
    assert place_of(AWS_READ, AWS_LIST, two) is None
    other = {**BUCKET, "AWS_REGION": "eu-west-1"}
    assert place_of(AWS_READ, AWS_LIST, {"AWS_DEFAULT_REGION": "us-east-1"}, other) is None
    same = dict.fromkeys(two, "eu-west-1")
    assert place_of(AWS_READ, AWS_LIST, same) == Place("s3", "some-bucket", "e1", region="eu-west-1")


def test_an_endpoint_that_the_configuration_sets_is_taken_up() -> None:
    place = Place("s3", "some-bucket", "e1", endpoint="http://127.0.0.1:9000")
    assert place_of(AWS_READ, AWS_LIST, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}) == place
    assert place_of(AWS_READ, AWS_LIST, {"AWS_ENDPOINT_URL": "ftp://127.0.0.1"}) is None
    read = AWS_READ.replace("aws", "aws --endpoint-url=$ENDPOINT_URL")
    listing = AWS_LIST.replace("aws", 'aws --endpoint-url "$ENDPOINT_URL"')
    assert place_of(read, listing, {"ENDPOINT_URL": "http://127.0.0.1:9000"}) == place
    # What is said in words comes before what is set.
    both = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "ENDPOINT_URL": "http://127.0.0.1:9000"}
    assert place_of(read, listing, both) == place


@pytest.mark.parametrize(
    ("read", "listing", "name"),
    [
        (S5_READ, S5_LIST, "S3_ENDPOINT_URL"),
        (S5_READ, S5_LIST, "AWS_ENDPOINT_URL"),
        (GSUTIL_READ, GSUTIL_LIST, "BOTO_CONFIG"),
        (GSUTIL_READ, GSUTIL_LIST, "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"),
        (GCLOUD_LOOP, GCLOUD_LIST, "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"),
        (GCLOUD_LOOP, GCLOUD_LIST, "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"),
    ],
)
def test_what_leads_a_program_elsewhere_than_us_is_left_to_it(read: str, listing: str, name: str) -> None:
    assert place_of(read, listing) is not None
    assert place_of(read, listing, {}, {**BUCKET, name: "http://127.0.0.1:9000"}) is None
