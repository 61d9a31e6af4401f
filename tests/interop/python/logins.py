"""The classes for userpass and AppRole: every method of both."""

from hvac import exceptions

from check import between, done, equal, eventually, holds, refused

PASSWORD = "correct horse battery staple"
PEOPLE = {"mount_point": "hvac-people"}
MACHINES = {"mount_point": "hvac-machines"}


class Recorder:
    """One of hvac's classes, with the names of the methods that were called."""

    def __init__(self, api, called):
        self.api = api
        self.called = called

    def __getattr__(self, name):
        self.called.add(name)
        return getattr(self.api, name)


CALLED = {"userpass": set(), "approle": set()}


def userpass(client):
    return Recorder(client.auth.userpass, CALLED["userpass"])


def approle(client):
    return Recorder(client.auth.approle, CALLED["approle"])


def users(w):
    done(w.client.sys.enable_auth_method("userpass", path="hvac-people"))
    api = userpass(w.client)
    refused(exceptions.InvalidPath, lambda: api.list_user(**PEOPLE))
    refused(exceptions.InvalidRequest, lambda: api.create_or_update_user("sally", **PEOPLE))
    done(api.create_or_update_user("sally", PASSWORD, policies="hvac-reader,other", **PEOPLE))
    done(api.create_or_update_user("bob", PASSWORD, token_ttl="1h", token_num_uses=9, **PEOPLE))
    equal(api.list_user(**PEOPLE)["data"]["keys"], ["bob", "sally"], "users")
    read = api.read_user("sally", **PEOPLE)["data"]
    equal(read["token_policies"], ["hvac-reader", "other"], "policies")
    equal(read["policies"], ["hvac-reader", "other"], "policies by the old name")
    holds("password" not in read and "password_hash" not in read, f"a password is shown: {read}")
    # An update keeps what it doesn't name.
    done(api.create_or_update_user("sally", policies="hvac-reader", **PEOPLE))
    equal(api.read_user("bob", **PEOPLE)["data"]["token_ttl"], 3600, "TTL")
    refused(exceptions.InvalidPath, lambda: api.read_user("nobody", **PEOPLE))


def log_in_as_user(w):
    someone = w.as_token("")
    login = userpass(someone).login("sally", PASSWORD, **PEOPLE)["auth"]
    equal(login["policies"], ["default", "hvac-reader"], "policies")
    equal(login["metadata"], {"username": "sally"}, "metadata")
    equal(someone.token, login["client_token"], "token of the client")
    equal(someone.lookup_token()["data"]["display_name"], "hvac-people-sally", "display name")
    kept = someone.secrets.kv.v1.read_secret("kept", mount_point="hvac-kv1")
    equal(kept["data"], {"value": "1"}, "data that the policy permits")
    equal(someone.auth.token.renew_self("10m")["auth"]["lease_duration"], 600, "renewed")
    done(someone.auth.token.revoke_self())
    equal(someone.is_authenticated(), False, "authenticated")
    someone = w.as_token("")
    userpass(someone).login("sally", PASSWORD, use_token=False, **PEOPLE)
    equal(someone.token, "", "token of a client that didn't want it")
    for user, password in [("sally", "wrong"), ("nobody", PASSWORD)]:
        refused(
            exceptions.InvalidRequest,
            lambda: userpass(someone).login(user, password, **PEOPLE),
            "invalid username or password",
        )


def change_a_password(w):
    api = userpass(w.client)
    done(api.update_password_on_user("sally", "another", **PEOPLE))
    refused(exceptions.InvalidRequest, lambda: api.login("sally", PASSWORD, False, **PEOPLE))
    login = api.login("sally", "another", use_token=False, **PEOPLE)["auth"]
    done(api.delete_user("sally", **PEOPLE))
    done(api.delete_user("sally", **PEOPLE))
    refused(exceptions.InvalidRequest, lambda: api.login("sally", "another", False, **PEOPLE))
    equal(api.list_user(**PEOPLE)["data"]["keys"], ["bob"], "users")
    done(w.client.sys.disable_auth_method("hvac-people"))
    eventually(lambda: not w.as_token(login["client_token"]).is_authenticated(), "revoked")


def roles(w):
    done(w.client.sys.enable_auth_method("approle", path="hvac-machines"))
    api = approle(w.client)
    refused(exceptions.InvalidPath, lambda: api.list_roles(**MACHINES))
    done(
        api.create_or_update_approle(
            "ci",
            bind_secret_id=True,
            secret_id_bound_cidrs=["127.0.0.0/8", "10.0.0.0/8"],
            secret_id_num_uses=10,
            secret_id_ttl="24h",
            token_ttl="20m",
            token_max_ttl="1h",
            token_policies=["hvac-reader", "other"],
            token_bound_cidrs=["127.0.0.0/8"],
            token_explicit_max_ttl="2h",
            token_no_default_policy=True,
            token_num_uses=50,
            token_period=0,
            token_type="service",
            **MACHINES,
        )
    )
    # hvac gives this field another name than the server's.
    answer = api.create_or_update_approle("passing", enable_local_secret_ids=True, **MACHINES)
    holds("enable_local_secret_ids" in str(answer["warnings"]), f"no warning: {answer}")
    equal(api.list_roles(**MACHINES)["data"]["keys"], ["ci", "passing"], "roles")
    role = api.read_role("ci", **MACHINES)["data"]
    for name, value in {
        "bind_secret_id": True,
        "local_secret_ids": False,
        "secret_id_bound_cidrs": ["127.0.0.0/8", "10.0.0.0/8"],
        "secret_id_num_uses": 10,
        "secret_id_ttl": 86400,
        "token_ttl": 1200,
        "token_max_ttl": 3600,
        "token_explicit_max_ttl": 7200,
        "token_policies": ["hvac-reader", "other"],
        "token_bound_cidrs": ["127.0.0.0/8"],
        "token_no_default_policy": True,
        "token_num_uses": 50,
        "token_period": 0,
        "token_type": "service",
    }.items():
        equal(role[name], value, name)
    # An update keeps what it doesn't name.
    done(api.create_or_update_approle("ci", token_no_default_policy=False, **MACHINES))
    equal(api.read_role("ci", **MACHINES)["data"]["token_ttl"], 1200, "TTL after an update")
    done(api.delete_role("passing", **MACHINES))
    done(api.delete_role("passing", **MACHINES))
    refused(exceptions.InvalidPath, lambda: api.read_role("passing", **MACHINES))
    refused(exceptions.InvalidPath, lambda: api.read_role_id("passing", **MACHINES))
    given = api.read_role_id("ci", **MACHINES)["data"]["role_id"]
    done(api.update_role_id("ci", "ours", **MACHINES))
    equal(api.read_role_id("ci", **MACHINES)["data"]["role_id"], "ours", "role id")
    holds(given and given != "ours", f"the first role id: {given!r}")


def secret_ids(w):
    api = approle(w.client)
    issued = api.generate_secret_id(
        "ci",
        metadata={"team": "a", "floor": "2"},
        cidr_list=["127.0.0.1/32"],
        token_bound_cidrs=["127.0.0.1/32"],
        **MACHINES,
    )["data"]
    equal(issued["secret_id_num_uses"], 10, "uses")
    equal(issued["secret_id_ttl"], 86400, "TTL")
    found = api.read_secret_id("ci", issued["secret_id"], **MACHINES)["data"]
    equal(found["metadata"], {"team": "a", "floor": "2"}, "metadata")
    equal(found["cidr_list"], ["127.0.0.1/32"], "networks")
    equal(found["token_bound_cidrs"], ["127.0.0.1/32"], "networks of tokens")
    equal(found["secret_id_accessor"], issued["secret_id_accessor"], "accessor")
    by_accessor = api.read_secret_id_accessor("ci", issued["secret_id_accessor"], **MACHINES)
    equal(by_accessor["data"], found, "what is found by the accessor")
    custom = api.create_custom_secret_id(
        "ci",
        "chosen elsewhere",
        metadata={"team": "b"},
        cidr_list=["127.0.0.0/8"],
        token_bound_cidrs=["127.0.0.0/8"],
        **MACHINES,
    )["data"]
    equal(custom["secret_id"], "chosen elsewhere", "secret id")
    accessors = api.list_secret_id_accessors("ci", **MACHINES)["data"]["keys"]
    wanted = [issued["secret_id_accessor"], custom["secret_id_accessor"]]
    equal(sorted(accessors), sorted(wanted), "accessors")
    done(api.destroy_secret_id("ci", issued["secret_id"], **MACHINES))
    equal(api.read_secret_id("ci", issued["secret_id"], **MACHINES).status_code, 204, "status")
    done(api.destroy_secret_id_accessor("ci", custom["secret_id_accessor"], **MACHINES))
    refused(
        exceptions.InvalidPath,
        lambda: api.read_secret_id_accessor("ci", custom["secret_id_accessor"], **MACHINES),
    )
    refused(exceptions.InvalidPath, lambda: api.list_secret_id_accessors("ci", **MACHINES))
    refused(
        exceptions.InvalidRequest,
        lambda: api.generate_secret_id("ci", cidr_list=["192.168.0.0/16"], **MACHINES),
        "failed to verify subset relationship",
    )
    refused(exceptions.InvalidPath, lambda: api.generate_secret_id("nobody", **MACHINES))


def log_in_as_machine(w):
    api = approle(w.client)
    secret_id = api.generate_secret_id("ci", metadata={"team": "a"}, **MACHINES)["data"]["secret_id"]
    someone = w.as_token("")
    login = approle(someone).login("ours", secret_id, **MACHINES)["auth"]
    equal(login["policies"], ["default", "hvac-reader", "other"], "policies")
    equal(login["metadata"], {"role_name": "ci", "team": "a"}, "metadata")
    equal(login["lease_duration"], 1200, "lease duration")
    equal(someone.token, login["client_token"], "token of the client")
    equal(someone.auth.token.renew_self("10m")["auth"]["lease_duration"], 600, "renewed")
    uses = api.read_secret_id("ci", secret_id, **MACHINES)["data"]["secret_id_num_uses"]
    equal(uses, 9, "uses left")
    done(someone.auth.token.revoke_self())
    for role_id, wrong in [("ours", "wrong"), ("unknown", secret_id)]:
        refused(
            exceptions.InvalidRequest,
            lambda: approle(someone).login(role_id, wrong, **MACHINES),
            "invalid role or secret ID",
        )
    refused(
        exceptions.InvalidRequest,
        lambda: approle(someone).login("ours", **MACHINES),
        "missing secret_id",
    )


def log_in_with_a_wrapped_secret_id(w):
    api = approle(w.client)
    for issue in (
        lambda: api.generate_secret_id("ci", wrap_ttl="60s", **MACHINES),
        lambda: api.create_custom_secret_id("ci", "wrapped", wrap_ttl="60s", **MACHINES),
    ):
        info = issue()["wrap_info"]
        equal(info["ttl"], 60, "TTL of the wrapping token")
        secret_id = w.as_token(info["token"]).sys.unwrap()["data"]["secret_id"]
        someone = w.as_token("")
        login = approle(someone).login("ours", secret_id, use_token=False, **MACHINES)["auth"]
        equal(someone.token, "", "token of a client that didn't want it")
        between(w.as_token(login["client_token"]).lookup_token()["data"]["ttl"], 1100, 1200, "ttl")
    # The tokens end with the role's mount.
    done(w.client.sys.disable_auth_method("hvac-machines"))
    eventually(lambda: not w.as_token(login["client_token"]).is_authenticated(), "revoked")


def all_methods(w):
    for name, called in CALLED.items():
        api = getattr(w.client.auth, name)
        methods = {it for it in vars(type(api)) if callable(getattr(api, it)) and it[0] != "_"}
        holds(len(methods) > 5, f"methods of {name}: {methods}")
        equal(called, methods, f"methods of {name} that were called")


STEPS = [
    ("users of userpass", None, users),
    ("logins with userpass", None, log_in_as_user),
    ("new passwords of userpass", None, change_a_password),
    ("roles of AppRole", None, roles),
    ("secret ids of AppRole", None, secret_ids),
    ("logins with AppRole", None, log_in_as_machine),
    ("logins with wrapped secret ids", "wrapping", log_in_with_a_wrapped_secret_id),
    ("all methods of both classes", "wrapping", all_methods),
]
