"""Secrets engines and auth methods."""

from hvac import exceptions

from check import done, equal, eventually, holds, refused


def enable(w):
    sys = w.client.sys
    done(sys.enable_secrets_engine("kv", "hvac-kv1", "plain", options={"version": "1"}))
    listed = sys.list_mounted_secrets_engines()
    # Old callers read the top level, new ones `data`.
    for mounts in (listed, listed["data"]):
        equal(mounts["hvac-kv1/"]["type"], "kv", "type")
        equal(mounts["hvac-kv1/"]["options"], {"version": "1"}, "options")
        holds(mounts["sys/"], "no mount at sys/")
    refused(
        exceptions.InvalidRequest,
        lambda: sys.enable_secrets_engine("kv", "hvac-kv1"),
        "path is already in use at hvac-kv1/",
    )
    refused(
        exceptions.InvalidRequest,
        lambda: sys.enable_secrets_engine("no-such"),
        "plugin not found in the catalog: no-such",
    )


def tune(w):
    sys = w.client.sys
    done(
        sys.tune_mount_configuration(
            "hvac-kv1", default_lease_ttl="1h", max_lease_ttl="2h", description="tuned"
        )
    )
    told = sys.read_mount_configuration("hvac-kv1")["data"]
    equal(told["default_lease_ttl"], 3600, "default TTL")
    equal(told["max_lease_ttl"], 7200, "maximum TTL")
    equal(told["description"], "tuned", "description")


def disable(w):
    sys = w.client.sys
    done(sys.enable_secrets_engine("kv", "hvac-gone", options={"version": "1"}))
    done(w.client.secrets.kv.v1.create_or_update_secret("a", {"b": "c"}, mount_point="hvac-gone"))
    done(sys.disable_secrets_engine("hvac-gone"))
    holds("hvac-gone/" not in sys.list_mounted_secrets_engines()["data"], "it is still listed")
    refused(
        exceptions.InvalidPath,
        lambda: w.client.secrets.kv.v1.read_secret("a", mount_point="hvac-gone"),
        "no handler for route",
    )


def move(w):
    sys, kv = w.client.sys, w.client.secrets.kv.v1
    done(sys.enable_secrets_engine("kv", "hvac-from", options={"version": "1"}))
    done(kv.create_or_update_secret("a", {"b": "c"}, mount_point="hvac-from"))
    sys.move_backend("hvac-from", "hvac-to")
    eventually(lambda: "hvac-to/" in sys.list_mounted_secrets_engines()["data"], "moved")

    def there():
        try:
            return kv.read_secret("a", mount_point="hvac-to")["data"] == {"b": "c"}
        except exceptions.VaultError:
            return False

    eventually(there, "the value is at the new place")
    done(sys.disable_secrets_engine("hvac-to"))


def methods(w):
    listed = w.client.sys.list_auth_methods()
    for methods in (listed, listed["data"]):
        equal(methods["token/"]["type"], "token", "type of token/")
        holds("token_type" in methods["token/"]["config"], "no token type")


def enable_method(w):
    sys = w.client.sys
    done(sys.enable_auth_method("userpass", path="hvac-people", description="people"))
    equal(sys.list_auth_methods()["hvac-people/"]["description"], "people", "description")
    done(sys.tune_auth_method("hvac-people", default_lease_ttl="1h"))
    equal(
        sys.read_auth_method_tuning("hvac-people")["data"]["default_lease_ttl"],
        3600,
        "default TTL",
    )
    done(sys.disable_auth_method("hvac-people"))
    holds("hvac-people/" not in sys.list_auth_methods()["data"], "it is still listed")


STEPS = [
    ("enable and list engines", None, enable),
    ("tune an engine", None, tune),
    ("disable an engine", None, disable),
    ("move an engine", "remount", move),
    ("list auth methods", None, methods),
    ("enable, tune and disable an auth method", "auth-mounts", enable_method),
]
