"""Answers that are wrapped."""

from hvac import exceptions

from check import equal, holds, refused


def wrap(w):
    wrapped = w.client.sys.wrap({"a": "b"}, ttl=60)["wrap_info"]
    equal(wrapped["ttl"], 60, "ttl")
    equal(w.client.sys.unwrap(wrapped["token"])["data"], {"a": "b"}, "what was wrapped")
    refused(exceptions.InvalidRequest, lambda: w.client.sys.unwrap(wrapped["token"]))


def wrap_a_token(w):
    info = w.client.auth.token.create(policies=["default"], ttl="1h", wrap_ttl="60s")["wrap_info"]
    holds(info["wrapped_accessor"], f"no accessor of what is wrapped: {info}")
    # The client may be the wrapping token itself.
    token = w.as_token(info["token"]).sys.unwrap()["auth"]["client_token"]
    equal(w.as_token(token).is_authenticated(), True, "authenticated")


STEPS = [
    ("wrap and unwrap", "wrapping", wrap),
    ("wrap a token", "wrapping", wrap_a_token),
]
