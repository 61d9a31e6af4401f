package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/logical"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const pluginName = "custom-plugin"

// serverVersion is what the plug-in is told of the server; any will do.
const serverVersion = "1.20.0"

// host is what the SDK's host code asks of a server: the catalog, the processes of protocol 5,
// and wrapping.
type host struct {
	logical.StaticSystemView
	kind       consts.PluginType
	command    string
	sha256     []byte
	log        *logBuffer
	unwrapping *unwrapping

	// shared is the process of protocol 5, with as many users as it has instances.
	shared *plugin.Client
	users  int
}

func newHost(kind consts.PluginType, command string) (*host, error) {
	command, err := filepath.Abs(command)
	if err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(command)
	if err != nil {
		return nil, err
	}
	unwrapping, err := newUnwrapping()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(binary)
	return &host{
		StaticSystemView: logical.StaticSystemView{
			DefaultLeaseTTLVal: defaultTTL,
			MaxLeaseTTLVal:     maxTTL,
			VersionString:      serverVersion,
			PluginEnvironment:  &logical.PluginEnvironment{VaultVersion: serverVersion},
		},
		kind:       kind,
		command:    command,
		sha256:     digest[:],
		log:        &logBuffer{},
		unwrapping: unwrapping,
	}, nil
}

func (h *host) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: h.log})
}

func (h *host) LookupPluginVersion(context.Context, string, consts.PluginType, string) (*pluginutil.PluginRunner, error) {
	return &pluginutil.PluginRunner{
		Name:    pluginName,
		Type:    h.kind,
		Command: h.command,
		Sha256:  h.sha256,
		// Operators leave such flags in a registration's args.
		Args: []string{"-tls-skip-verify"},
	}, nil
}

// NewPluginClient gives an instance in a process of its own, or in the one that runs if that can
// take several.
func (h *host) NewPluginClient(ctx context.Context, config pluginutil.PluginClientConfig) (pluginutil.PluginClient, error) {
	if h.shared == nil {
		runner, err := h.LookupPluginVersion(ctx, config.Name, config.PluginType, config.Version)
		if err != nil {
			return nil, err
		}
		h.shared, err = runner.RunConfig(ctx,
			pluginutil.Runner(h),
			pluginutil.PluginSets(config.PluginSets),
			pluginutil.HandshakeConfig(config.HandshakeConfig),
			pluginutil.Logger(config.Logger),
			pluginutil.MetadataMode(config.IsMetadataMode),
			pluginutil.AutoMTLS(config.AutoMTLS),
		)
		if err != nil {
			return nil, err
		}
	}
	protocol, err := h.shared.Client()
	if err != nil {
		return nil, err
	}
	conn := protocol.(*plugin.GRPCClient).Conn
	shares, err := pluginutil.MultiplexingSupported(ctx, conn, config.Name)
	if err != nil {
		return nil, err
	}
	if !shares {
		return nil, fmt.Errorf("the plug-in takes one instance a process")
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, err
	}
	h.users++
	return &instance{ClientProtocol: protocol, conn: instanceConn{conn, id}, host: h}, nil
}

// instance is one of several backends in a process.
type instance struct {
	plugin.ClientProtocol
	conn instanceConn
	host *host
}

func (i *instance) Conn() grpc.ClientConnInterface { return i.conn }

func (i *instance) Reload() error { return i.Close() }

// Close ends the process with its last instance.
func (i *instance) Close() error {
	i.host.users--
	if i.host.users == 0 {
		i.host.shared.Kill()
		i.host.shared = nil
	}
	return nil
}

// instanceConn says with every call which instance it is for.
type instanceConn struct {
	*grpc.ClientConn
	id string
}

func (c instanceConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.ClientConn.Invoke(c.mark(ctx), method, args, reply, opts...)
}

func (c instanceConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.ClientConn.NewStream(c.mark(ctx), desc, method, opts...)
}

func (c instanceConn) mark(ctx context.Context) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(pluginutil.MultiplexingCtxKey, c.id))
}

// children are the processes this one started, by their ids.
func children() []int {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	var pids []int
	for _, list := range lists {
		// A thread that has just ended is no reason to stop.
		text, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// logBuffer keeps what host and plug-ins log.
type logBuffer struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(line []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.Write(line)
}

func (l *logBuffer) String() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.String()
}
