#!/usr/bin/env python3
"""A secrets engine in Python: temporary users of a web server, in the server's htpasswd file."""
import base64, datetime, fcntl, hashlib, json, os, re, secrets, signal, sys, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

VERSION = "v1.0.0"
USER_ERROR, INTERNAL, UNSUPPORTED_OPERATION, UNSUPPORTED_PATH = 1, 2, 5, 6  # types of ProtoError


class BackendError(Exception):
    def __init__(self, err_type, message=""):
        super().__init__(message)
        self.err_type = err_type


class HtpasswdEngine:
    """One mount: config (the file), roles/<name> (ttl and max_ttl in seconds), creds/<name> (a user)."""
    ROOT_PATHS = ["config"]  # it names a file to be written with the server's rights, so it takes sudo
    UNFINISHED_SECS = 60

    def __init__(self, storage):
        self.storage = storage

    def exists(self, path):
        """Whether there is such an object; None for paths at which nothing is created."""
        return None if path.startswith("creds/") else self.storage.get(path) is not None

    def handle(self, request):
        """Data as a dictionary, a whole response, or None for no response."""
        operation, path = request.operation, request.path.rstrip("/")
        data = json.loads(request.data or "{}") or {}
        if operation in ("revoke", "renew"):
            return getattr(self, operation)(request.secret, json.loads(request.secret.internal_data))
        if operation == "rollback":
            return self.remove_unfinished()
        if operation == "help":
            return {"help": self.__doc__, "see_also": None}
        if path == "roles" and operation == "list":
            return {"keys": self.storage.list("roles/")}
        if not (match := re.fullmatch(r"config|roles/[\w-]+|creds/([\w-]+)", path)):
            raise BackendError(UNSUPPORTED_PATH)
        if match[1] and operation == "read":
            return self.issue(match[1])
        if match[1] or operation not in ("create", "update", "read", "delete"):
            raise BackendError(UNSUPPORTED_OPERATION)
        if operation in ("read", "delete"):
            return self.storage.get(path) if operation == "read" else self.storage.delete(path)
        return self.write(path, {**(self.storage.get(path) or {}), **data})

    def write(self, path, data):
        try:
            stored = {"file": os.fspath(data["file"])} if path == "config" else {
                name: int(data.get(name, 0)) for name in ("ttl", "max_ttl")}
        except (KeyError, TypeError, ValueError):
            raise BackendError(USER_ERROR, "config takes file; a role takes ttl and max_ttl in seconds") from None
        self.storage.put(path, stored)

    def issue(self, role_name):
        if (role := self.storage.get(f"roles/{role_name}")) is None:
            raise BackendError(USER_ERROR, f'role "{role_name}" does not exist')
        user, password = f"v-{role_name}-{secrets.token_hex(8)}", secrets.token_urlsafe(24)
        self.storage.put(f"wal/{user}", time.time())  # if this process dies now, remove_unfinished cleans up
        salt = secrets.token_bytes(8)
        digest = base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()
        self.edit_file(lambda users: {**users, user: "{SSHA}" + digest})
        self.storage.delete(f"wal/{user}")
        lease = Wire.LeaseOptions(renewable=True, issue_time=NEVER, **in_nanos(role))
        kept = Wire.Secret(lease_options=lease, internal_data=json.dumps({"user": user, **role}))
        return Wire.Response(data=json.dumps({"username": user, "password": password}), secret=kept)

    def renew(self, secret, kept):
        if kept["user"] not in self.edit_file(lambda users: users):
            raise BackendError(USER_ERROR, "the user is no longer in the file: revoke the lease")
        secret.lease_options.MergeFrom(Wire.LeaseOptions(**in_nanos(kept)))
        return Wire.Response(data="{}", secret=secret)

    def revoke(self, _secret, kept):  # is repeated after a failure, so a missing user is no error
        self.edit_file(lambda users: {name: line for name, line in users.items() if name != kept["user"]})

    def remove_unfinished(self):
        for user in self.storage.list("wal/"):
            if (self.storage.get(f"wal/{user}") or 0) < time.time() - self.UNFINISHED_SECS:
                self.revoke(None, {"user": user})
                self.storage.delete(f"wal/{user}")

    def edit_file(self, change):
        """Replaces the lines of the file by `change(users)`, which is also returned."""
        if (config := self.storage.get("config")) is None:
            raise BackendError(USER_ERROR, "the engine is not configured: write to config first")
        path = config["file"]
        with open(path + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with open(path) as file, open(path + ".new", "w") as new:
                users = change(dict(line.rstrip("\n").split(":", 1) for line in file if ":" in line))
                os.fchmod(new.fileno(), os.fstat(file.fileno()).st_mode)
                new.writelines(f"{name}:{rest}\n" for name, rest in users.items())
            os.replace(path + ".new", path)
        return users


def in_nanos(role):
    return {name: role[name] * 10**9 for name in ("ttl", "max_ttl")}


# The rest is the protocol, and knows nothing of the engine: docs/src/reference/plugin-protocol.md.

# The messages and fields that are used, as name:number:type; `*` is a list. Only numbers and types are on the
# wire, so one message stands for all that have a single text, or a single number or boolean.
MESSAGES = """
Text value:1:string
Number value:1:uint32
Texts values:1:string* err:2:string
Time seconds:1:int64 nanos:2:int32
LeaseOptions ttl:1:int64 renewable:2:bool increment:3:int64 issue_time:4:Time max_ttl:5:int64
Secret lease_options:1:LeaseOptions internal_data:2:string
Request operation:3:string path:4:string data:5:string secret:6:Secret
Response secret:1:Secret data:3:string
ProtoError err_type:1:uint32 err_msg:2:string
RequestArgs request:2:Request
RequestReply response:1:Response err:2:ProtoError
ExistenceReply check_found:1:bool exists:2:bool err:3:ProtoError
SpecialPathsReply paths:1:Texts
Entry key:1:string value:2:bytes
EntryArgs entry:1:Entry
EntryReply entry:1:Entry err:2:string
ErrorReply err:1:string
ConnInfo service_id:1:uint32 network:2:string address:3:string
"""


def build_messages(table):
    kinds, file = descriptor_pb2.FieldDescriptorProto, descriptor_pb2.FileDescriptorProto(
        name="wire.proto", package="wire", syntax="proto3")
    for name, *fields in map(str.split, table.strip().splitlines()):
        message = file.message_type.add(name=name)
        for field, number, kind in (text.split(":") for text in fields):
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            scalar = getattr(kinds, "TYPE_" + kind.rstrip("*").upper(), None)
            message.field.add(name=field, number=int(number), label=label, type=scalar or kinds.TYPE_MESSAGE,
                              type_name=None if scalar else f".wire.{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindFileByName("wire.proto").message_types_by_name
    return type("Wire", (), {name: message_factory.GetMessageClass(it) for name, it in found.items()})


Wire = build_messages(MESSAGES)
NEVER = Wire.Time(seconds=-62135596800)  # an unset time; the field must be present nevertheless
NO_LIMITS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Storage:
    """The storage of one mount, which the host serves. Values are JSON."""
    def __init__(self, channel):
        self.channel = channel

    def call(self, method, args, reply):
        call = self.channel.unary_unary(f"/pb.Storage/{method}", type(args).SerializeToString, reply.FromString)
        if (answer := call(args, timeout=10)).err:
            raise BackendError(INTERNAL, answer.err)
        return answer

    def get(self, key):
        reply = self.call("Get", Wire.Text(value=key), Wire.EntryReply)
        return json.loads(reply.entry.value) if reply.HasField("entry") else None

    def put(self, key, value):
        entry = Wire.Entry(key=key, value=json.dumps(value).encode())
        self.call("Put", Wire.EntryArgs(entry=entry), Wire.ErrorReply)

    def delete(self, key):
        self.call("Delete", Wire.Text(value=key), Wire.ErrorReply)

    def list(self, prefix):
        return list(self.call("List", Wire.Text(value=prefix), Wire.Texts).values)


class Plugin:
    """The gRPC services of the process, which serves any number of mounts."""
    def __init__(self, engine, host_pem, key_pem, certificate_pem):
        self.engine, self.instances, self.offers = engine, {}, {}
        self.offered, self.stopped = threading.Condition(), threading.Event()
        self.credentials = grpc.ssl_channel_credentials(host_pem, key_pem, certificate_pem)

    def start_stream(self, offers, _context):
        for offer in offers:  # for as long as the process lives
            with self.offered:
                self.offers[offer.service_id] = offer.address
                self.offered.notify_all()
        yield from ()

    def setup(self, broker_id, context):
        with self.offered:  # the offer may come before or after this call
            if not self.offered.wait_for(lambda: broker_id.value in self.offers, timeout=5):
                return Wire.Text(value="the host offered no services")
            address = self.offers.pop(broker_id.value)
        options = [*NO_LIMITS, ("grpc.ssl_target_name_override", "localhost")]
        channel = grpc.secure_channel(f"unix:{address}", self.credentials, options)
        self.instances[instance_id(context)] = self.engine(Storage(channel))
        return Wire.Text()

    def cleanup(self, _args, context):
        if instance := self.instances.pop(instance_id(context), None):
            instance.storage.channel.close()
        return Wire.Text()

    def guarded(self, reply_class, run):
        """A method that calls `run(instance, request)` and puts its errors into the reply."""
        def method(args, context):
            if not (instance := self.instances.get(instance_id(context))):
                context.abort(grpc.StatusCode.UNKNOWN, "no backend instance found")
            try:
                return run(instance, args.request)
            except BackendError as error:
                if error.err_type == USER_ERROR and reply_class is Wire.RequestReply:  # status 400
                    return reply_class(response=Wire.Response(data=json.dumps({"error": str(error)})))
                return reply_class(err=Wire.ProtoError(err_type=error.err_type, err_msg=str(error)))
            except Exception as error:  # its text may contain a secret
                log("error", "a call failed", error=type(error).__name__)
                return reply_class(err=Wire.ProtoError(err_type=INTERNAL, err_msg="internal error of the plug-in"))
        return method

    def services(self):
        def calls(service, args=Wire.Text, **methods):
            return grpc.method_handlers_generic_handler(service, {
                name: grpc.unary_unary_rpc_method_handler(method, args.FromString, lambda it: it.SerializeToString())
                for name, method in methods.items()})
        def always(reply):
            return lambda _args, _context: reply
        def handle(instance, request):
            response = instance.handle(request)  # no response is not the same as an empty one
            is_data = isinstance(response, dict)
            return Wire.RequestReply(response=Wire.Response(data=json.dumps(response)) if is_data else response)
        def exists(instance, request):
            found = instance.exists(request.path)
            return Wire.ExistenceReply(check_found=found is not None, exists=bool(found))
        paths = Wire.SpecialPathsReply(paths=Wire.Texts(values=self.engine.ROOT_PATHS))
        stream = grpc.stream_stream_rpc_method_handler(self.start_stream, Wire.ConnInfo.FromString)
        return [
            grpc.method_handlers_generic_handler("plugin.GRPCBroker", {"StartStream": stream}),
            calls("plugin.GRPCController", Shutdown=lambda *_: self.stopped.set() or Wire.Text()),
            calls("grpc.health.v1.Health", Check=always(Wire.Number(value=1))),
            calls("pluginutil.multiplexing.PluginMultiplexing", MultiplexingSupport=always(Wire.Number(value=1))),
            calls("logical.PluginVersion", Version=always(Wire.Text(value=VERSION))),
            calls("pb.Backend", Type=always(Wire.Number(value=1)), SpecialPaths=always(paths), Cleanup=self.cleanup,
                  InvalidateKey=always(Wire.Text()), Initialize=always(Wire.Text())),
            calls("pb.Backend", Wire.Number, Setup=self.setup),
            calls("pb.Backend", Wire.RequestArgs, HandleRequest=self.guarded(Wire.RequestReply, handle),
                  HandleExistenceCheck=self.guarded(Wire.ExistenceReply, exists))]


def instance_id(context):
    ids = [value for name, value in context.invocation_metadata() if name == "multiplex_id"]
    return ids[0] if ids else context.abort(grpc.StatusCode.UNKNOWN, "no multiplexing ID found")


def log(level, message, **fields):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = {**fields, "@level": level, "@message": message, "@timestamp": now}
    print(json.dumps(line), file=sys.stderr, flush=True)


def make_certificate():
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    since, until = now - datetime.timedelta(seconds=30), now + datetime.timedelta(days=10950)
    usages = [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), since, until)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    return key, builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False).sign(key, hashes.SHA256())


def serve(engine):
    """Runs the plug-in until the host ends it or is gone."""
    if os.environ.get("VAULT_BACKEND_PLUGIN") != "6669da05-b1c8-4f49-97d9-c8e5bed98e20":
        sys.exit("this is a plug-in for a secrets server and can't be run by hand: register it there")
    if not (host_pem := os.environ.get("PLUGIN_CLIENT_CERT", "").encode()):
        sys.exit("the host gives no certificate; this plug-in needs AutoMTLS")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, (key, certificate), encoding = os.getppid(), make_certificate(), serialization.Encoding
    key_pem = key.private_bytes(encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem, der = certificate.public_bytes(encoding.PEM), certificate.public_bytes(encoding.DER)
    plugin = Plugin(engine, host_pem, key_pem, pem)
    server = grpc.server(ThreadPoolExecutor(16), plugin.services(), options=NO_LIMITS)
    folder = os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or tempfile.mkdtemp()
    address = os.path.join(folder, f"plugin{secrets.token_hex(4)}")
    credentials = grpc.ssl_server_credentials([(key_pem, pem)], host_pem, require_client_auth=True)
    server.add_secure_port(f"unix:{address}", credentials)
    server.start()
    print(f"1|5|unix|{address}|grpc|{base64.b64encode(der).decode().rstrip('=')}", flush=True)
    while not plugin.stopped.wait(2) and os.getppid() == parent:
        pass
    server.stop(1).wait()
    os._exit(0)


if __name__ == "__main__":
    serve(HtpasswdEngine)
