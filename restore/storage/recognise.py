"""Recognises the commands of published configurations, and says which bucket they lead to.

Only what reads is looked at: `open_for_read` and `list_metadata_files`. Both have to be of a shape known
here, to the last option, and to lead to the same place; and each variable that the configuration sets must be
one that the place takes up, since a program may look at any other. Whatever else is there, a shell runs.

    [AWS_MAX_ATTEMPTS=n] CLIENT | gzip -cd      reads
    (CLIENT ||:) | sed -ne "..."                lists; without `||:` too

    aws s3 cp URL -              aws s3 ls URL            with --endpoint-url, --region, --no-sign-request
    s5cmd cat URL                s5cmd ls URL             with --endpoint-url, --no-sign-request
    gsutil cp URL -              gsutil ls URL            with -q
    gcloud storage cp URL -      gcloud storage ls URL
    gcloud storage cp URL FILE                            in a loop that tries a few times

Source: spec/backup-format.md 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from restore.storage.adapter_config import PARAMETERS, AdapterConfig
from restore.storage.place import Place, Scheme

_CLIENT = r"(?P<client>[^|&;<>()`'\n]+)"

_READ = re.compile(rf"(?:AWS_MAX_ATTEMPTS=\d+ )?{_CLIENT} \| gzip -(?:cd|dc)")

_READ_LOOP = re.compile(
    r"(?P<file>\w+)=\$\(mktemp\)\n"
    r'trap "rm -f \$(?P=file)" EXIT\n'
    r"for (?P<try>\w+) in \{0\.\.\d+\}\ndo\n"
    r"if \[ \$(?P=try) -gt 0 \]; then\n"
    r"(?P<pause>\w+)=\$\(\(\d+ \* \$(?P=try)\)\)\n"
    r'(?:echo "[^"`()]*" >&2\n)?'
    r"sleep \$(?P=pause)\nfi\n"
    rf"{_CLIENT} \$(?P=file) 1>&2 \|\| continue\n"
    r"cat \$(?P=file) \| gzip -cd\nexit\ndone\n"
    r'(?:echo "[^"`()]*" >&2\n)?'
    r"exit 1"
)

_SED = r'sed -ne "(?P<script>[^"]+)"'
_LISTS = (re.compile(rf"\( ?{_CLIENT} \|\| ?: ?\) \| {_SED}"), re.compile(rf"{_CLIENT} \| {_SED}"))

_COLUMNS = r"s#.* \(.*\)#metadata/\1#p"
"""Keeps the last column of a line, where programs print dates and sizes before the name."""

_URLS = "s#gs://.*/metadata/#metadata/#p"
"""Keeps the end of each URL."""

_READERS = {
    ("aws", "s3", "cp", "s3://", "-"),
    ("s5cmd", "cat", "s3://"),
    ("gsutil", "cp", "gs://", "-"),
    ("gcloud", "storage", "cp", "gs://", "-"),
}
_LOOPED_READERS = {("gcloud", "storage", "cp", "gs://")}
_LISTERS = {
    _COLUMNS: {("aws", "s3", "ls", "s3://"), ("s5cmd", "ls", "s3://")},
    _URLS: {("gsutil", "ls", "gs://"), ("gcloud", "storage", "ls", "gs://")},
}

_FILE_URL = re.compile(r'"?(s3://|gs://)(.+)/\$(?:FILE_HANDLE|\{FILE_HANDLE\})"?')
_FOLDER_URL = re.compile(r'"?(s3://|gs://)(.+)/metadata/"?')

_SERVICE_URL = re.compile(r"https?://[^/].*")

_SCHEMES: dict[str, Scheme] = {"s3://": "s3", "gs://": "gs"}

_ENDPOINT, _REGION, _ANONYMOUS = "--endpoint-url", "--region", "--no-sign-request"

_OPTIONS: dict[str, Collection[str]] = {
    "aws": (_ENDPOINT, _REGION, _ANONYMOUS),
    "s5cmd": (_ENDPOINT, _ANONYMOUS),
    "gsutil": ("-q",),
    "gcloud": (),
}
_WITHOUT_VALUE = (_ANONYMOUS, "-q")

_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")

_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "aws": (),
    "s5cmd": ("S3_ENDPOINT_URL", *_ENDPOINTS),
    "gsutil": ("BOTO_", "CLOUDSDK_API_", "CLOUDSDK_AUTH_"),
    "gcloud": ("CLOUDSDK_API_", "CLOUDSDK_AUTH_"),
}
"""How variables begin that lead a program to another service than us, or give it other credentials."""

_FOLDED = re.compile(r'"[^"\n]*"|[ \t]+')
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_PLAIN = re.compile(r"[A-Za-z0-9._:/-]+")
"""What a shell leaves as it is, in quotes and without."""


def recognise(config: AdapterConfig, environment: Mapping[str, str]) -> Place | None:
    """The place that the commands read from; None if that is not known for sure.

    Args:
        config: the commands.
        environment: the variables of this process.
    """
    variables = _Variables(config.variables, environment)
    place = _place_of_reader(_folded(config.commands["open_for_read"]), variables)
    listed = _place_of_lister(_folded(config.commands["list_metadata_files"]), variables)
    is_sure = place == listed and config.variables.keys() <= variables.taken
    return place if is_sure else None


class _Variables:
    """The variables of a command: those that the configuration sets, else those of this process.

    Attributes:
        taken: names of those that were looked at.
        changed: names of those that the command itself gives another value.
    """

    def __init__(self, own: Mapping[str, str], inherited: Mapping[str, str]) -> None:
        self.taken: set[str] = set()
        self.changed = set(PARAMETERS)
        self._own = own
        self._all = {**inherited, **own}

    def expand(self, word: str) -> str | None:
        """The word as the program gets it; None if that is not known."""
        names = {name or braced for name, braced in _VARIABLE.findall(word)}
        if names & self.changed or not names <= self._all.keys():
            return None
        self.taken |= names
        text = _VARIABLE.sub(lambda found: self._all[found[1] or found[2]], word.replace('"', ""))
        return text if _PLAIN.fullmatch(text) else None

    def settle(self, names: tuple[str, ...]) -> str | None:
        """What the configuration sets by one of `names`, at which programs look without being told to.

        None where it sets none of them: then this process's own hold, for requests of our own too. None also
        where they differ; they do not count as taken then.
        """
        values = {self._all[name] for name in names if name in self._all}
        if self._own.keys().isdisjoint(names) or len(values) > 1:
            return None
        self.taken.update(names)
        return values.pop()

    def lead_elsewhere(self, program: str) -> bool:
        """Whether one is set that our own requests do not follow as the program does."""
        return any(name.startswith(_ELSEWHERE[program]) for name in self._all)


def _place_of_reader(text: str, variables: _Variables) -> Place | None:
    if found := _READ.fullmatch(text):
        return _place(found["client"], _READERS, _FILE_URL, variables)
    if found := _READ_LOOP.fullmatch(text):
        variables.changed |= {found["file"], found["try"], found["pause"]}
        return _place(found["client"], _LOOPED_READERS, _FILE_URL, variables)
    return None


def _place_of_lister(text: str, variables: _Variables) -> Place | None:
    for shape in _LISTS:
        if found := shape.fullmatch(text):
            return _place(found["client"], _LISTERS.get(found["script"], ()), _FOLDER_URL, variables)
    return None


def _place(
    client: str, shapes: Collection[tuple[str, ...]], url: re.Pattern[str], variables: _Variables
) -> Place | None:
    """Where a program goes, if its words are of one of `shapes`."""
    words, options = _words_and_options(client)
    root = ""
    for number, word in enumerate(words):
        if found := url.fullmatch(word):
            words[number], root = found.groups()
    if tuple(words) not in shapes or variables.lead_elsewhere(words[0]):
        return None
    folders = (variables.expand(root) or "").split("/")
    values = {name: variables.expand(text) for name, text in options.items()}
    if any(folder in {"", ".", ".."} or ":" in folder for folder in folders) or None in values.values():
        return None
    scheme = _SCHEMES[next(word for word in words if word in _SCHEMES)]
    if scheme == "s3":
        values = {_REGION: variables.settle(_REGIONS), _ENDPOINT: variables.settle(_ENDPOINTS), **values}
    endpoint = values.get(_ENDPOINT)
    if endpoint is not None and not _SERVICE_URL.fullmatch(endpoint):
        return None
    return Place(
        scheme,
        folders[0],
        "/".join(folders[1:]),
        endpoint=endpoint,
        region=values.get(_REGION),
        anonymous=True if _ANONYMOUS in values else None,
    )


def _words_and_options(client: str) -> tuple[list[str], dict[str, str]]:
    """The words of a call, and apart from them the options known of its program, with their values."""
    program, *rest = client.split(" ")
    words, options = [program], {}
    remaining = iter(rest)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name not in _OPTIONS.get(program, ()):
            words.append(word)
        elif name in _WITHOUT_VALUE:
            options[name] = "" if equals else word  # an empty one is refused like any unknown text
        else:
            options[name] = value if equals else next(remaining, "")
    return words, options


def _folded(text: str) -> str:
    """Without comments, empty lines and needless blanks."""
    lines = text.replace("\\\n", " ").split("\n")
    folded = [_FOLDED.sub(lambda found: found[0] if found[0][0] == '"' else " ", line) for line in lines]
    return "\n".join(line.strip() for line in folded if line.strip() and not line.lstrip().startswith("#"))
