"""A program as the guides of AWS show it: nothing in it knows where its keys come from.

It takes the region from the configuration, falls back to no default of its own, asks who it is,
and has a provider of its own at the end of the chain, which must never be asked.
"""

import sys

import boto3
import botocore.credentials
import botocore.session


class OwnProvider(botocore.credentials.CredentialProvider):
    """A custom provider, such as a company adds to botocore."""

    METHOD = "own-provider"
    CANONICAL_NAME = "OwnProvider"

    def load(self):
        print("own provider was asked", flush=True)
        return None


def main() -> None:
    core = botocore.session.get_session()
    resolver = core.get_component("credential_provider")
    resolver.providers.append(OwnProvider())
    session = boto3.Session(botocore_session=core)
    print("region", session.region_name)
    print("method", session.get_credentials().method)
    client = session.client("sts")
    print("endpoint region", client.meta.region_name)
    print(client.get_caller_identity()["Arn"], flush=True)


try:
    main()
except Exception as error:  # Whatever it is, the test looks at what a person would be shown.
    sys.exit(f"{type(error).__name__}: {error}")
