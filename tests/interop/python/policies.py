"""Policies and capabilities."""

from hvac import exceptions

from check import done, equal, holds, refused

READER = 'path "hvac-kv1/kept" { capabilities = ["read"] }\n'


def old_calls(w):
    sys = w.client.sys
    done(sys.create_or_update_policy("hvac-old", READER))
    read = sys.read_policy("hvac-old")
    # Old callers read the top level, new ones `data`.
    equal(read["rules"], READER, "rules")
    equal(read["data"]["rules"], READER, "rules in data")
    listed = sys.list_policies()
    for names in (listed["policies"], listed["data"]["policies"], listed["data"]["keys"]):
        holds("hvac-old" in names and "root" in names, f"policies: {names}")
    equal(w.client.get_policy("hvac-old"), READER, "rules by the oldest call")
    done(sys.delete_policy("hvac-old"))
    refused(exceptions.InvalidPath, lambda: sys.read_policy("hvac-old"))


def acl_policies(w):
    sys = w.client.sys
    done(sys.create_or_update_acl_policy("hvac-reader", READER))
    equal(sys.read_acl_policy("hvac-reader")["data"]["policy"], READER, "policy")
    holds("hvac-reader" in sys.list_acl_policies()["data"]["keys"], "it is not listed")
    # A policy as an object is sent as JSON.
    done(
        sys.create_or_update_acl_policy(
            "hvac-json", {"path": {"hvac-kv1/*": {"capabilities": ["list"]}}}
        )
    )
    done(sys.delete_acl_policy("hvac-json"))
    refused(
        exceptions.InvalidRequest, lambda: sys.create_or_update_acl_policy("hvac-bad", "path {")
    )
    refused(
        exceptions.InvalidRequest,
        lambda: sys.create_or_update_acl_policy("root", READER),
        'cannot update "root" policy',
    )


def capabilities(w):
    token = w.new_token(policies=["hvac-reader"])
    reader = w.as_token(token["client_token"])
    equal(reader.sys.get_capabilities(["hvac-kv1/kept"])["capabilities"], ["read"], "of itself")
    asked = ["hvac-kv1/kept", "hvac-kv1/other"]
    found = w.client.sys.get_capabilities(asked, token=token["client_token"])
    equal([found[path] for path in asked], [["read"], ["deny"]], "of a token")
    found = w.client.sys.get_capabilities(asked, accessor=token["accessor"])
    equal([found["data"][path] for path in asked], [["read"], ["deny"]], "of an accessor")
    refused(
        exceptions.Forbidden,
        lambda: reader.secrets.kv.v1.read_secret("other", mount_point="hvac-kv1"),
        "permission denied",
    )
    refused(exceptions.Forbidden, reader.sys.list_mounted_secrets_engines, "permission denied")


def passwords(w):
    path = "/v1/sys/policies/password/hvac"
    text = 'length = 20\nrule "charset" { charset = "abc" min-chars = 1 }'
    w.client.adapter.put(path, json={"policy": text})
    made = w.client.adapter.get(path + "/generate")["data"]["password"]
    holds(len(made) == 20 and set(made) == set("abc"), f"a password: {made!r}")
    w.client.adapter.delete(path)


STEPS = [
    ("policies by the old calls", None, old_calls),
    ("policies", None, acl_policies),
    ("capabilities", None, capabilities),
    ("password policies", "password-policies", passwords),
]
