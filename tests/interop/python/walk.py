"""Drives a server, from its first initialisation to its sealing, with hvac.

It reads:

    VAULT_ADDR  a server not yet initialised
    FEATURES    what is built, with commas between: steps that need more are named and left out
"""

import os
import sys

import hvac

import kv
import logins
import mounts
import policies
import seal
import tokens
import wrapping
from check import Failure


class Walk:
    """What later steps know from earlier ones."""

    def __init__(self, address):
        self.address = address
        self.keys = []
        self.client = hvac.Client(url=address, token="")

    def as_token(self, token):
        """The same server with another token."""
        return hvac.Client(url=self.address, token=token)

    def new_token(self, **settings):
        """The auth part of a new token."""
        return self.client.auth.token.create(**settings)["auth"]


GROUPS = [
    seal.BEGIN,
    mounts.STEPS,
    kv.STEPS,
    policies.STEPS,
    tokens.STEPS,
    wrapping.STEPS,
    logins.STEPS,
    seal.END,
]


def main():
    built = os.environ.get("FEATURES", "").split(",")
    walk = Walk(os.environ["VAULT_ADDR"])
    for name, feature, step in (entry for group in GROUPS for entry in group):
        if feature and feature not in built:
            print(f"awaits {feature}: {name}")
            continue
        try:
            step(walk)
        except (Failure, hvac.exceptions.VaultError, KeyError, TypeError) as error:
            print(f"FAIL {name}: {type(error).__name__}: {error}")
            return 1
        print(f"ok {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
