"""Initialising, unsealing, sealing, and what anybody may ask."""

from hvac import exceptions

from check import done, equal, eventually, holds, refused


def new_server(w):
    equal(w.client.sys.is_initialized(), False, "initialized")
    equal(w.client.sys.is_sealed(), True, "sealed")
    equal(w.client.sys.read_health_status().status_code, 501, "status of health")
    equal(w.client.is_authenticated(), False, "authenticated without a token")


def initialise(w):
    refused(
        exceptions.InvalidRequest,
        lambda: w.client.sys.initialize(2, 3),
        "threshold cannot be larger than shares",
    )
    made = w.client.sys.initialize(3, 2)
    equal([len(key) for key in made["keys"]], [66, 66, 66], "lengths of the shares")
    equal(len(made["keys_base64"]), 3, "shares in base64")
    w.keys = made["keys_base64"]
    w.client.token = made["root_token"]
    equal(w.client.sys.is_initialized(), True, "initialized")
    refused(
        exceptions.InvalidRequest, lambda: w.client.sys.initialize(1, 1), "already initialized"
    )


def sealed(w):
    equal(w.client.sys.read_health_status().status_code, 503, "status of health")
    refused(exceptions.VaultDown, lambda: w.client.secrets.kv.v1.read_secret("x"), "sealed")


def unseal(w):
    status = w.client.sys.submit_unseal_key(w.keys[0])
    equal([status["progress"], status["t"], status["n"]], [1, 2, 3], "progress, t and n")
    equal(w.client.sys.submit_unseal_key(reset=True)["progress"], 0, "progress after a reset")
    refused(exceptions.InvalidRequest, lambda: w.client.sys.submit_unseal_key("nonsense"))
    equal(w.client.sys.submit_unseal_keys(w.keys[:2])["sealed"], False, "sealed")
    eventually(lambda: w.client.sys.read_health_status().status_code == 200, "active")


def status(w):
    health = w.client.sys.read_health_status(method="GET")
    equal(health["initialized"], True, "initialized")
    equal(health["sealed"], False, "sealed")
    equal(health["standby"], False, "standby")
    holds(health["version"] and health["cluster_id"], f"no version or cluster: {health}")
    equal(w.client.seal_status["type"], "shamir", "type of the seal")
    equal(w.client.sys.is_sealed(), False, "sealed")
    holds("ha_enabled" in w.client.sys.read_leader_status(), "nothing on high availability")
    equal(w.client.is_authenticated(), True, "authenticated as root")


def close(w):
    done(w.client.sys.seal())
    equal(w.client.sys.is_sealed(), True, "sealed")
    w.client.sys.submit_unseal_keys([w.keys[2], w.keys[0]])
    eventually(lambda: w.client.sys.read_health_status().status_code == 200, "active")
    kept = w.client.secrets.kv.v1.read_secret("kept", mount_point="hvac-kv1")
    equal(kept["data"], {"value": "1"}, "what was written before")
    done(w.client.sys.seal())


BEGIN = [
    ("a new server", None, new_server),
    ("initialise", None, initialise),
    ("sealed", None, sealed),
    ("unseal", None, unseal),
    ("health, seal status and leader", None, status),
]
END = [("seal, unseal and seal", None, close)]
