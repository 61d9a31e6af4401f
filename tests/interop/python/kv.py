"""KV, both versions, and the cubbyhole."""

from hvac import exceptions

from check import done, equal, eventually, holds, refused


def version_1(w):
    kv = w.client.secrets.kv.v1
    at = {"mount_point": "hvac-kv1"}
    value = {"text": "ü <&>", "number": 12345678901234567890, "list": [1, None, {"a": True}]}
    done(kv.create_or_update_secret("folder/a", value, **at))
    answer = kv.read_secret("folder/a", **at)
    equal(answer["data"], value, "data")
    equal(answer["lease_duration"], 3600, "lease duration")
    done(kv.create_or_update_secret("folder/a", {"only": "this"}, method="PUT", **at))
    equal(kv.read_secret("folder/a", **at)["data"], {"only": "this"}, "data after a change")
    done(kv.create_or_update_secret("kept", {"value": "1"}, **at))
    equal(kv.list_secrets("", **at)["data"]["keys"], ["folder/", "kept"], "keys")
    equal(kv.list_secrets("folder", **at)["data"]["keys"], ["a"], "keys of the folder")
    done(kv.delete_secret("folder/a", **at))
    refused(exceptions.InvalidPath, lambda: kv.read_secret("folder/a", **at))
    refused(exceptions.InvalidPath, lambda: kv.list_secrets("folder", **at))
    refused(
        exceptions.InvalidRequest,
        lambda: w.client.write("hvac-kv1/empty"),
        "missing data fields",
    )


def plain_calls(w):
    # The oldest calls: read, write, list and delete of any path.
    w.client.write("hvac-kv1/plain", value="x")
    equal(w.client.read("hvac-kv1/plain")["data"], {"value": "x"}, "data")
    holds("plain" in w.client.list("hvac-kv1")["data"]["keys"], "it is not listed")
    w.client.delete("hvac-kv1/plain")
    equal(w.client.read("hvac-kv1/plain"), None, "a read of nothing")


def version_2(w):
    sys, kv = w.client.sys, w.client.secrets.kv.v2
    done(sys.enable_secrets_engine("kv", "hvac-kv2", options={"version": "2"}))
    at = {"mount_point": "hvac-kv2"}
    # A new engine may need a moment.
    eventually(lambda: w.client.adapter.get("/v1/hvac-kv2/config", raise_exception=False), "ready")
    done(kv.configure(max_versions=5, cas_required=False, **at))
    equal(kv.read_configuration(**at)["data"]["max_versions"], 5, "most versions")
    made = kv.create_or_update_secret("a", {"v": "1"}, **at)
    equal(made["data"]["version"], 1, "version")
    made = kv.create_or_update_secret("a", {"v": "2", "old": "x"}, cas=1, **at)
    equal(made["data"]["version"], 2, "version")
    refused(
        exceptions.InvalidRequest,
        lambda: kv.create_or_update_secret("a", {"v": "3"}, cas=1, **at),
        "did not match the current version",
    )
    equal(kv.patch("a", {"more": "y"}, **at)["data"]["version"], 3, "version")
    read = kv.read_secret_version("a", raise_on_deleted_version=True, **at)["data"]
    equal(read["data"], {"v": "2", "old": "x", "more": "y"}, "data")
    equal(read["metadata"]["version"], 3, "version")
    read = kv.read_secret_version("a", version=1, raise_on_deleted_version=True, **at)["data"]
    equal(read["data"]["v"], "1", "data of the first version")
    refused(exceptions.InvalidPath, lambda: kv.patch("none", {"a": "b"}, **at))


def deleted_versions(w):
    kv = w.client.secrets.kv.v2
    at = {"mount_point": "hvac-kv2"}
    done(kv.delete_latest_version_of_secret("a", **at))
    gone = kv.read_secret_version("a", raise_on_deleted_version=False, **at)
    equal(gone["data"]["data"], None, "data of a deleted version")
    holds(gone["data"]["metadata"]["deletion_time"], "no time of deletion")
    refused(
        exceptions.InvalidPath,
        lambda: kv.read_secret_version("a", raise_on_deleted_version=True, **at),
    )
    done(kv.undelete_secret_versions("a", [3], **at))
    done(kv.delete_secret_versions("a", [1, 2], **at))
    done(kv.destroy_secret_versions("a", [1], **at))
    versions = kv.read_secret_metadata("a", **at)["data"]["versions"]
    equal([versions[v]["destroyed"] for v in "123"], [True, False, False], "destroyed")
    equal([versions[v]["deletion_time"] == "" for v in "123"], [False, False, True], "undeleted")
    done(kv.update_metadata("a", max_versions=2, custom_metadata={"owner": "us"}, **at))
    equal(
        kv.read_secret_metadata("a", **at)["data"]["custom_metadata"], {"owner": "us"}, "metadata"
    )
    equal(kv.list_secrets("", **at)["data"]["keys"], ["a"], "keys")
    done(kv.delete_metadata_and_all_versions("a", **at))
    refused(exceptions.InvalidPath, lambda: kv.list_secrets("", **at))


def cubbyhole(w):
    mine = w.as_token(w.new_token(policies=["default"])["client_token"])
    mine.write("cubbyhole/a", value="x")
    equal(mine.read("cubbyhole/a")["data"], {"value": "x"}, "data")
    equal(w.client.read("cubbyhole/a"), None, "what another token sees")


STEPS = [
    ("KV version 1", None, version_1),
    ("read, write, list and delete", None, plain_calls),
    ("KV version 2", "kv2", version_2),
    ("deleted versions", "kv2", deleted_versions),
    ("the cubbyhole", "cubbyhole", cubbyhole),
]
