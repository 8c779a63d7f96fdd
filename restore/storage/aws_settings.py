"""What Amazon's own tools would use: credentials, region and endpoint of the user, wherever they are set.

botocore knows the places: variables, profiles, programs, roles, the services that lend keys to a machine or a
container. It is imported only here and only when it is needed, since that takes 0.15 s.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from restore.errors import UsageError
from restore.storage.signing import Credentials


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """What was found; None for what was not.

    Attributes:
        credentials: give keys.
        region: where nothing else says which.
        endpoint: in place of Amazon's.
    """

    credentials: Credentials | None
    region: str | None
    endpoint: str | None


def load_aws_settings(*, anonymous: bool) -> AwsSettings:
    """Looks in all places; may wait for the network, so it is to be called in a thread.

    Args:
        anonymous: look for no credentials.

    Raises:
        UsageError: what is set cannot be used.
    """
    from botocore.session import Session  # type: ignore[import-untyped]

    session = Session()
    try:
        return AwsSettings(
            credentials=None if anonymous else session.get_credentials(),
            # botocore does not know the first, unlike all of Amazon's newer tools.
            region=os.environ.get("AWS_REGION") or session.get_config_variable("region"),
            endpoint=None
            if session.get_config_variable("ignore_configured_endpoint_urls")
            else _endpoint(session.full_config, session.get_scoped_config()),
        )
    except Exception as error:  # of botocore, of files, of the program that gives credentials
        raise UsageError(
            "AWS configuration cannot be used", found=error, hint="see what `aws configure list` says"
        ) from error


def _endpoint(files: Mapping[str, Any], profile: Mapping[str, Any]) -> str | None:
    """The endpoint that is set; botocore itself tells it only to its own clients.

    Variables go before files, and what is set for S3 before what is set for all services.
    """
    services = files.get("services", {}).get(profile.get("services"), {})
    places = (
        os.environ.get("AWS_ENDPOINT_URL_S3"),
        os.environ.get("AWS_ENDPOINT_URL"),
        services.get("s3", {}).get("endpoint_url"),
        profile.get("endpoint_url"),
    )
    return next(filter(None, places), None)
