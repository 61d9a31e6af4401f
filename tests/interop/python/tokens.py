"""Tokens and their leases."""

from hvac import exceptions

from check import between, done, equal, eventually, holds, refused


def create(w):
    api = w.client.auth.token
    made = w.new_token(
        policies=["hvac-reader"], ttl="1h", meta={"for": "hvac"}, display_name="someone"
    )
    equal(made["policies"], ["default", "hvac-reader"], "policies")
    equal([made["lease_duration"], made["renewable"], made["orphan"]], [3600, True, False], "auth")
    found = api.lookup(made["client_token"])["data"]
    equal(found["id"], made["client_token"], "id")
    equal(found["meta"], {"for": "hvac"}, "metadata")
    equal(found["display_name"], "token-someone", "display name")
    between(found["ttl"], 3500, 3600, "ttl")
    equal(api.lookup_accessor(made["accessor"])["data"]["id"], "", "id by accessor")
    holds(made["accessor"] in api.list_accessors()["data"]["keys"], "the accessor isn't listed")
    self = w.as_token(made["client_token"])
    equal(self.lookup_token()["data"]["id"], made["client_token"], "id by lookup-self")
    equal(self.is_authenticated(), True, "authenticated")
    orphan = api.create_orphan(policies=["default"])["auth"]
    equal(orphan["orphan"], True, "orphan")


def renew(w):
    api = w.client.auth.token
    made = w.new_token(policies=["default"], ttl="1h", explicit_max_ttl="3h")
    equal(api.renew(made["client_token"], "2h")["auth"]["lease_duration"], 7200, "by token")
    equal(api.renew_accessor(made["accessor"], "20m")["auth"]["lease_duration"], 1200, "accessor")
    self = w.as_token(made["client_token"]).auth.token
    equal(self.renew_self("10m")["auth"]["lease_duration"], 600, "by itself")
    capped = api.renew(made["client_token"], "9h")
    between(capped["auth"]["lease_duration"], 10700, 10800, "past its maximum")
    holds(capped["warnings"], "no warning that it was capped")
    refused(exceptions.InvalidRequest, lambda: api.renew("no-such"), "token not found")


def revoke(w):
    api = w.client.auth.token
    made = w.new_token(policies=["default"])
    done(api.revoke(made["client_token"]))
    eventually(lambda: not w.as_token(made["client_token"]).is_authenticated(), "revoked")
    refused(exceptions.Forbidden, lambda: api.lookup(made["client_token"]))
    made = w.new_token(policies=["default"])
    done(api.revoke_accessor(made["accessor"]))
    made = w.new_token(policies=["default"])
    self = w.as_token(made["client_token"])
    done(self.auth.token.revoke_self())
    equal(self.is_authenticated(), False, "authenticated")
    made = w.new_token(policies=["default"])
    done(api.revoke_and_orphan_children(made["client_token"]))


def leases(w):
    sys = w.client.sys
    made = w.new_token(policies=["default"], ttl="1h")
    names = sys.list_leases("auth/token/create")["data"]["keys"]
    found = [sys.read_lease("auth/token/create/" + name)["data"] for name in names]
    holds(all(lease["id"].startswith("auth/token/create/h") for lease in found), f"{found}")
    holds(any(3500 <= lease["ttl"] <= 3600 for lease in found), f"no lease of an hour: {found}")
    refused(exceptions.InvalidRequest, lambda: sys.read_lease("no/such"), "invalid lease")
    refused(exceptions.InvalidRequest, lambda: sys.renew_lease("no/such"), "lease not found")
    done(sys.revoke_lease("no/such"))
    done(sys.revoke_prefix("auth/token/create"))

    eventually(lambda: not w.as_token(made["client_token"]).is_authenticated(), "revoked")


def roles(w):
    api = w.client.auth.token
    done(
        api.create_or_update_role(
            "hvac", allowed_policies=["default"], orphan=True, token_period="10m", path_suffix="suffix"
        )
    )
    equal(api.read_role("hvac")["data"]["orphan"], True, "orphan")
    holds("hvac" in api.list_roles()["data"]["keys"], "the role isn't listed")
    made = api.create(role_name="hvac")["auth"]
    equal([made["orphan"], made["lease_duration"]], [True, 600], "orphan and lease duration")
    done(api.delete_role("hvac"))
    refused(exceptions.InvalidPath, lambda: api.read_role("hvac"))


def batch(w):
    made = w.new_token(policies=["default"], ttl="1h", type="batch")
    equal([made["token_type"], made["accessor"]], ["batch", ""], "type and accessor")
    self = w.as_token(made["client_token"])
    equal(self.lookup_token()["data"]["type"], "batch", "type")
    refused(exceptions.InvalidRequest, lambda: w.client.auth.token.renew(made["client_token"]))


STEPS = [
    ("create and look up tokens", None, create),
    ("renew tokens", None, renew),
    ("revoke tokens", None, revoke),
    ("leases of tokens", None, leases),
    ("roles for tokens", "token-roles", roles),
    ("batch tokens", "batch-tokens", batch),
]
