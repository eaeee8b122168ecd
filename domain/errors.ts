// The one catalogue of errors: code, message, hint. The same code reaches HTTP bodies, logs, exit texts, and later events and conditions.

interface Entry {
  readonly message: string;
  readonly hint: string;
  /** HTTP status when it answers a request */
  readonly status: number;
}
const entry = (message: string, hint: string, status = 500): Entry => ({ message, hint, status });

/** `{name}` in a text is filled from the error's details. */
export const catalogue = {
  FILE_NOT_FOUND: entry("{path} does not exist", "check the path; the names of interfaces are in: ip link"),
  FILE_UNREADABLE: entry("{path} cannot be read: {detail}", "check its permissions"),
  FILE_IS_DIRECTORY: entry("{path} is a directory", "name one capture file in it"),
  FILE_IS_PIPE: entry(
    "{path} is a pipe or a device, not a file",
    "save the capture to a file first: it is mapped into memory",
  ),
  FILE_EMPTY: entry("{path} is empty", "was the capture still being written, or stopped before the first packet?"),
  FILE_TOO_SHORT: entry("{path} ends within its own header ({detail})", "it was cut off: copy it again"),
  FILE_BAD_MAGIC: entry(
    "{path} is neither pcap nor pcapng: it starts with {detail}",
    "convert it with editcap, or decompress it",
  ),
  FILE_BAD_VERSION: entry("{path} has a capture format version that is not read: {detail}", "convert it with editcap"),
  FILE_TRUNCATED: entry(
    "{path} ends within a packet at byte {offset}",
    "the packets before it were analyzed; copy the file again for the rest",
  ),
  FILE_BAD_LENGTH: entry(
    "{path} has an impossible length at byte {offset}: {detail}",
    "the file is damaged there; the packets before it were analyzed",
  ),
  FILE_BAD_BLOCK: entry("{path} has a damaged block at byte {offset}: {detail}", "the packets before it were analyzed"),
  FILE_SHRANK: entry(
    "{path} became shorter while it was read, at byte {offset}",
    "analyze a copy that nobody writes to",
  ),
  FILE_WRITE_FAILED: entry(
    "{path} cannot be written: {detail}",
    "check the disk's free space and the folder's permissions",
  ),
  GENERATE_BAD_OPTION: entry("no such traffic can be made: {detail}", "see tapline pcap generate --help", 400),
  GENERATE_TOO_SLOW: entry(
    "at that rate {detail} would each be silent for over half a minute, and count as ended",
    "raise --pps or lower --flows",
    400,
  ),
  OUT_OF_MEMORY: entry("not enough memory: {detail}", "lower --max-flows or --threads"),
  INTERFACE_NOT_FOUND: entry(
    "there is no interface {path}",
    "ip link shows the interfaces of this machine and network namespace",
  ),
  INTERFACE_DOWN: entry("{path} is down: {detail}", "ip link set {path} up"),
  CAPTURE_NOT_PERMITTED: entry(
    "capturing on {path} needs {detail}",
    "run as root, or grant it: setcap cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock+ep on node",
  ),
  CAPTURE_FAILED: entry(
    "capturing on {path} failed: {detail}",
    "tapline needs Linux with TPACKET_V3 and packet fanout",
  ),
  CAPTURE_RING_FAILED: entry(
    "the packet ring for {path} could not be made: {detail}",
    "ask for a smaller ring: fewer or smaller blocks",
  ),
  CAPTURE_BAD_PLACEMENT: entry(
    "{path} cannot be captured as placed: {detail}",
    "lscpu shows this machine's CPUs and NUMA nodes; name one CPU per thread",
  ),
  CAPTURE_TOO_MANY: entry(
    "{path} cannot be captured too: {detail}",
    "watch fewer interfaces, or use fewer threads for each",
  ),
  CAPTURE_NOT_ETHERNET: entry(
    "{path} carries no Ethernet frames (the kernel's type {detail})",
    "watch the interface that its packets travel on; or save them with tcpdump and analyze the file",
  ),
  ETHTOOL_NOT_PERMITTED: entry("changing {path} needs CAP_NET_ADMIN", "run as root: sudo tapline tune {path} --apply"),
  ETHTOOL_FAILED: entry("{path} cannot be asked or changed: {detail}", "ethtool {path} shows what its driver can do"),
  TUNE_STATE_UNREADABLE: entry(
    "{path} does not hold what `tapline tune` left there: {detail}",
    "nothing was changed; move the file away if the old values are not needed",
  ),
  HOST_UNREADABLE: entry("{path} cannot be read: {detail}", "tapline reads sysfs and procfs; are both mounted here?"),
  PINNING_STATE_IN_USE: entry(
    "{path} belongs to process {pid}, which is running",
    "two agents may not pin the same interfaces: stop one, or give it another state file",
  ),
  PINNING_STATE_DAMAGED: entry(
    "{path} is not a state file of pinning: {detail}",
    "IRQ affinities that an earlier agent changed are not put back: compare /proc/irq/*/smp_affinity_list with what it still tells, then remove it",
  ),
  PINNING_STATE_UNWRITABLE: entry(
    "{path} cannot be written: {detail}",
    "nothing was pinned, for it could not be undone: make the folder writable, or set pinning.irq to Observe",
  ),
  FILTER_BPF_INVALID: entry(
    "the capture filter does not compile: {detail}",
    "it is libpcap's language: man pcap-filter",
  ),
  CAPTURE_RING_OVERFLOW: entry(
    "{path}: a ring was full, {packets} packets were dropped in the last second",
    "gaps of that time are marked suspect; raise capture.ring.blocks or capture.threads, or pin (tapline tune {path})",
  ),
  CAPTURE_RING_SHRUNK: entry(
    "{path}: the rings have {bytes} bytes instead of {wanted}: the kernel had no more memory in one piece",
    "lower capture.ring.blockKiB, or free memory and restart",
  ),
  CAPTURE_RING_UNLOCKED: entry(
    "{path}: the ring's memory is not locked",
    "grant CAP_IPC_LOCK or raise LimitMEMLOCK, else it may be swapped out",
  ),
  CAPTURE_MERGED: entry(
    "{path} delivers merged packets: of their sequence numbers only the first is seen",
    "turn the offloads that merge off: tapline tune {path}",
  ),
  LEDGER_RESIDUE: entry(
    "{path}: the ledger does not balance by {packets} packets",
    "this is a fault in tapline: please report it with /api/v1/ledger",
  ),
  SENSOR_DEGRADED: entry(
    "the memory budget holds the sensor back: {rung}, {detail}",
    "raise budget.memoryMiB, or watch less: capture.filter, interfaces, analysis.maxFlows",
  ),
  PINNING_DRIFT: entry(
    "{count} settings of CPUs or interrupts are not as wanted ({detail})",
    "see /api/v1/pinning; irqbalance moves interrupts: stop it, or tell it to leave these alone (--banirq)",
  ),
  CONFIG_NEEDS_RESTART: entry(
    "the new configuration was applied but for {paths}",
    "restart for these: systemctl restart tapline-sensor, or tapline-relay",
  ),
  CONFIG_REFUSED: entry(
    "the new configuration was not applied: {detail}",
    "what ran before goes on; correct {path}, look at it with tapline sensor --config {path} --check, and reload",
  ),
  SECRET_EXPOSED: entry(
    "{path} can be {access} by every user of this machine",
    "chmod 0600 {path}; what others may have read is a secret no more: replace it",
  ),
  ENGINE_MISSING: entry("the native engine does not load: {detail}", "run: make build"),
  TRUTH_UNREADABLE: entry(
    "{path} is not a truth file: {detail}",
    "name the file that `tapline pcap generate --truth` wrote beside this capture",
  ),
  TRUTH_DIFFERS: entry(
    "the analysis differs from {path} in {differences} figures",
    "is it the truth of this very capture, analyzed with the usual --settle and --idle?",
  ),
  TOOL_MISSING: entry(
    "{tool} cannot be run: {detail}",
    "install it (apt-get install {tool}), or leave it out with --against none",
  ),
  BENCH_NEEDS_ROOT: entry("it makes network namespaces and veth pairs, which needs root", "sudo tapline bench …"),
  BENCH_NOT_BUILT: entry(
    "{path} is not built",
    "cmake -S native -B native/build -G Ninja && ninja -C native/build bench_programs",
  ),
  BENCH_PROCESS_FAILED: entry("{tool} did not do what the measurement needs: {detail}", "run it by hand: {command}"),
  STORE_NOT_FOUND: entry(
    "{path} does not exist",
    "check the path, or make a database with: tapline analyze <capture> {path}",
    404,
  ),
  STORE_IS_DIRECTORY: entry(
    "{path} is a directory, not a database",
    "name a file in it, for example {path}/results.db",
  ),
  STORE_CANNOT_CREATE: entry(
    "{path} cannot be created: {detail}",
    "check that its folder exists and that you may write there",
  ),
  STORE_NOT_SQLITE: entry("{path} is not a database", "name another file: this one is left as it is"),
  STORE_FOREIGN: entry("{path} is a database of another program", "name another file: this one is left as it is"),
  STORE_NEWER: entry(
    "{path} was written by a newer version (schema {found}, this one knows {known})",
    "use that version, or name another file",
  ),
  STORE_OLDER: entry(
    "{path} was written by an older version (schema {found}, now {known}) and cannot be brought up to date here",
    "make the file and its folder writable once, or copy it",
  ),
  STORE_READ_ONLY: entry(
    "{path} cannot be written: {detail}",
    "check the permissions of the file and its folder, and how the disk is mounted",
  ),
  STORE_DISK_FULL: entry(
    "the disk is full: {path} cannot grow",
    "free some space; what was written before is kept, and the run is marked incomplete",
  ),
  STORE_LOCKED: entry(
    "{path} is locked by another writer",
    "wait until the other program has finished, or name another file",
    503,
  ),
  STORE_IN_USE: entry(
    "{path} belongs to a sensor that is running (process {pid})",
    "name another file, or stop the sensor first; reading is always possible",
    503,
  ),
  STORE_DAMAGED: entry(
    "{path} is damaged: {detail}",
    "restore a copy, or save what is left with: sqlite3 {path} .recover",
  ),
  STORE_FAILED: entry(
    "the database {path} failed: {detail}",
    "what was written before is kept, and the run is marked incomplete",
  ),
  FILTER_SYNTAX: entry(
    "the filter does not parse at column {column}: {detail}",
    "a filter is terms joined by spaces: proto=macsec lost>0 bytes>1e6 src=10.0.0.0/8",
    400,
  ),
  FILTER_UNKNOWN_FIELD: entry("the filter has no field {field} (column {column})", "{suggestion}", 400),
  API_TOKEN_REQUIRED: entry(
    "{host} is not a loopback address: a bearer token is required to listen there",
    "give a token of at least 16 characters (--token-file), or listen on 127.0.0.1",
    500,
  ),
  API_UNAUTHORIZED: entry(
    "this request has no valid bearer token",
    "send the header: Authorization: Bearer <token>",
    401,
  ),
  API_HOST_REFUSED: entry(
    "requests to {host} are not answered here",
    "use the address the server printed; a page of another site may not ask it",
    403,
  ),
  API_BAD_REQUEST: entry("{parameter}: {detail}", "see /api/docs for the parameters", 400),
  API_BAD_CURSOR: entry(
    "the cursor does not belong to this question",
    "take next_cursor from the page before and keep filter, sort and run",
    400,
  ),
  API_NOT_FOUND: entry("there is nothing at {path}", "see /api/docs for the addresses", 404),
  API_RUN_NOT_FOUND: entry("there is no run {run}", "see /api/v1/runs", 404),
  API_FLOW_NOT_FOUND: entry("there is no flow {flow}", "a flow is named <run>-<packet>, see /api/v1/flows", 404),
  API_RATE_LIMITED: entry("more than {limit} requests in {window}", "wait, or ask for more flows at once", 429),
  API_OVERLOADED: entry("{limit} questions are waiting already", "try again in a moment", 503),
  API_FAILED: entry("the request failed: {detail}", "the server's log has the details", 500),
  BUS_BAD_NAME: entry(
    "{name} cannot be a name on NATS: {detail}",
    "choose a shorter, plain name for fleet, pool or node",
  ),
  BUS_BAD_ADDRESS: entry(
    "{address} is no address of a NATS server: {detail}",
    "write nats://host:4222, or tls://host:4222; user and password belong in a credentials file",
  ),
  BUS_CREDENTIALS_UNUSABLE: entry(
    "the NATS {kind} file {path} cannot be used: {detail}",
    "check the mounted secret: a creds file as nsc writes it, user:password on one line, a token, or an nkey seed (SU...); it is read again at the next attempt",
  ),
  BUS_UNREACHABLE: entry(
    "NATS at {servers} cannot be reached: {detail}",
    "capture goes on and findings are buffered; check that the server runs, that its name resolves here, and that no firewall or network policy is between (nc -vz HOST 4222)",
  ),
  BUS_SILENT: entry(
    "NATS at {servers} accepts connections and says nothing: {detail}",
    "is something else listening there, a proxy without a server behind it, or a server that hangs? A NATS server greets with INFO at once (nc HOST 4222)",
  ),
  BUS_LOST: entry(
    "the connection to NATS at {servers} was lost: {detail}",
    "it is tried again; capture goes on and findings are buffered until their limit",
  ),
  BUS_REFUSED: entry(
    "NATS at {servers} refuses the credentials: {detail}",
    "check the file and its user in the server's configuration (or the account's JWT: revoked or expired?); a rotated secret is read at the next attempt, without a restart",
  ),
  BUS_TLS_FAILED: entry(
    "TLS with NATS at {servers} failed: {detail}",
    "check that ca is the one that signed the server's certificate, that the certificate names this host and has not expired, and, if the server verifies clients, cert and key; the server's log names its side of it",
  ),
  BUS_NOT_PERMITTED: entry(
    "this NATS user may not {operation} {subject}",
    "add it to the user's permissions; bus/README.md has the complete lists for the roles",
  ),
  BUS_NO_JETSTREAM: entry(
    "NATS has no JetStream: findings are buffered and not delivered ({detail})",
    "start nats-server with --jetstream, or enable it for this account; reports and queries work without it",
  ),
  BUS_NO_STREAM: entry(
    "no stream keeps {subject}, and it cannot be created: {detail}",
    "create it: nats stream add {stream} --subjects '{every}' --max-age 7d --discard old --defaults; or let this user publish to $JS.API.STREAM.CREATE.{stream}",
  ),
  BUS_STREAM_REFUSED: entry(
    "the stream for findings does not take them: {detail}",
    "look at its limits and the server's disk: nats stream info {stream}; findings are buffered and tried again",
  ),
  BUS_UNDELIVERED: entry(
    "{findings} findings were not delivered when the sensor ended: {detail}",
    "gaps are in {path} all the same: tapline gaps {path}; conditions are in the log",
  ),
  BUS_REPORT_TOO_LARGE: entry(
    "a report of {bytes} bytes is more than NATS takes ({limit})",
    "raise max_payload in the server's configuration, or watch fewer interfaces",
  ),
  BUS_BAD_QUERY: entry(
    "this is no question: {detail}",
    'send {"path": "/api/v1/flows?filter=lost>0"}, at most 4096 bytes; paths are those of the API',
    400,
  ),
  BUS_ANSWER_TOO_LARGE: entry(
    "the answer of {bytes} bytes, compressed, is more than NATS takes ({limit})",
    "ask for less: lower limit, or add a filter",
    413,
  ),
  BUS_OVERLOADED: entry(
    "{limit} questions are waiting already, or this one waited too long",
    "try again in a moment",
    503,
  ),
  BUS_UNANSWERED: entry(
    "no answer to {path} came from {subject}: {detail}",
    "it is asked again later; that agent's own log says what keeps it",
    504,
  ),
  BUS_FAILED: entry("NATS at {servers} failed: {detail}", "it is tried again; the server's log may say more"),
  // The relay: its rules, its control socket, its plans, and what is wrong while it runs.
  RELAY_RULES_INVALID: entry(
    "{path} has {count}:\n{problems}",
    "nothing was changed; every key of a rule is in docs/reference/relay-rules.md",
    400,
  ),
  RELAY_RULE_UNKNOWN: entry("there is no rule {rule}", "tapline rules list shows their ids{near}", 404),
  RELAY_PLANNED: entry(
    "the rules of this node come from the fleet's plan",
    "change the RelayRule in the cluster; without nats.plan in its configuration a relay takes rules here",
    409,
  ),
  RELAY_STATE_DAMAGED: entry(
    "{path} is damaged ({detail}): it was kept as {kept}, and {used}",
    "compare the kept file with `tapline rules list`; delete it when nothing is missing",
  ),
  RELAY_STATE_UNWRITABLE: entry(
    "{path} cannot be written: {detail}",
    "nothing was changed; check the disk's free space and the folder's permissions",
    503,
  ),
  RELAY_SOCKET_TAKEN: entry(
    "another relay answers at {path}",
    "one relay runs on a node; ss -xlp | grep {path} shows which",
  ),
  RELAY_SOCKET_FAILED: entry(
    "the control socket {path} cannot be made: {detail}",
    "name a place that this process may write to: control.socket",
  ),
  RELAY_NOT_RUNNING: entry(
    "no relay answers at {path}: {detail}",
    "is `tapline relay` running? Its control.socket is named with --socket",
  ),
  CONTROL_REFUSED: entry(
    "user {uid} (process {pid}) may not ask this relay",
    "ask as root or as the relay's user, or join the group of control.group",
    403,
  ),
  CONTROL_BAD_QUESTION: entry(
    "this is no question: {detail}",
    "docs/reference/relay-control.md shows all of them",
    400,
  ),
  CONTROL_INCOMPLETE: entry(
    "half a question: its line did not end within {seconds} s",
    "each question is one line of JSON, with a line feed at its end",
    408,
  ),
  CONTROL_TOO_LONG: entry("the question has more than {most} bytes", "load the rules in parts, without --replace", 413),
  CONTROL_TOO_MANY: entry("{most} others ask already", "wait a moment", 429),
  CONTROL_UNFINISHED: entry("the relay ended before it answered", "what was asked may or may not have been done: look"),
  RELAY_APPLY_FAILED: entry(
    "the rules could not be programmed: {detail}",
    "what ran before goes on; it is tried again every few seconds",
  ),
  RELAY_ENGINE_MISSING: entry(
    "{engine} carries nothing on this node: {detail}",
    "tapline doctor names the right that is missing; or leave it out of engines.allow",
  ),
  RELAY_NOT_PINNED: entry(
    "forwarding ends with this process: {detail}",
    "mount a BPF file system (mount -t bpf bpf /sys/fs/bpf), restart; or set engines.pin to false",
  ),
  RELAY_WAITING: entry(
    "{count} rules wait: {detail} (the first: {rule})",
    "they begin by themselves as soon as it changes; tapline rules list shows all of them",
  ),
  RELAY_OUTPUT_UNREADY: entry(
    "{count} outputs cannot send: {detail} (the first: {rule})",
    "what they should send is dropped and counted until then; ip route get, ip neigh show",
  ),
  RELAY_FOREIGN_PROGRAM: entry(
    "{path} has a program of somebody else ({kind}): {count} rules are carried by {engine} instead",
    "nothing is wrong; it is slower than it could be. bpftool net shows whose it is",
  ),
  RELAY_HIDES_PACKETS: entry(
    "somebody captures on {path}, and does not see the packets of {count} rules: XDP takes them before any capture ({rule} is one)",
    "set engine: TC for those rules; what was chosen stays while it can, so that no capture moves a feed",
  ),
  RELAY_TUNNEL_MTU: entry(
    "path {path} to {to} leaves by {interface}, whose MTU {mtu} is too small for packets of {wanted} bytes with {overhead} bytes around them",
    "raise the MTU of {interface} to {needed}, or let the sources send at most {fits} bytes",
  ),
  RELAY_DROPPING: entry(
    "outputs dropped {packets} packets in the last second: {reason} (the most: {rule})",
    "tapline rules stats shows them by output",
  ),
  RELAY_HOP_LOST: entry(
    "path {path} from {peers}: {packets} packets were lost in the last second between that hop and this one",
    "compare with what that hop dropped after numbering them (its rules stats); the rest is the network's",
  ),
  RELAY_LOOPING: entry(
    "{path}: {packets} packets were refused in the last second: {reason}",
    "they go round: look for another relay that sends them back (tapline rules check of all nodes' files)",
  ),
  RELAY_INTRUDERS: entry(
    "{path}: {packets} tunnel packets were refused in the last second: {reason}",
    "somebody sends to the tunnel's port who should not, or the two ends of a path differ in key or addresses",
  ),
  RELAY_WORKER_DOWN: entry(
    "the worker of {path} is not running: {detail}",
    "it is started again; packets of its rules are lost until then. Its last words are in the log",
  ),
  RELAY_MEMBERSHIP_FAILED: entry(
    "{group} could not be joined on {path}: {detail}",
    "switches that watch memberships will not send it here; too many groups: sysctl net.ipv4.igmp_max_memberships",
  ),
  RELAY_PLAN_REFUSED: entry(
    "the fleet's plan {generation} was refused: {detail}",
    "what ran before goes on; the operator's log says what it sent",
  ),
  RELAY_PLAN_UNREADABLE: entry(
    "the fleet's plan {generation} cannot be fetched: {detail}",
    "what ran before goes on; it is tried again",
  ),
  PORT_IN_USE: entry(
    "port {port} on {host} is in use",
    "stop the other program, or choose another port: --port, or the configuration file",
  ),
  HOST_NOT_LOCAL: entry(
    "{host} is no address of this machine",
    "listen on 127.0.0.1, or on an address that `ip address` shows",
  ),
  // What every long-lived process has.
  CONFIG_UNREADABLE: entry(
    "the configuration {path} cannot be read: {detail}",
    "name the file with --config, and check its permissions",
  ),
  CONFIG_INVALID: entry(
    "the configuration {path} has {count}:\n{problems}",
    "each line says file:line:column; all keys are in docs/reference",
  ),
  SHUTDOWN_DEADLINE: entry(
    "{part} did not close within {deadline} ms",
    "the rest was closed; what it still held may be lost",
  ),
  PROCESS_UNEXPECTED: entry(
    "the process met an error that nobody handled: {detail}",
    "this is a fault in tapline: please report it with the log lines around this one",
  ),
  ENDPOINT_NOT_FOUND: entry("there is nothing at {path}", "this port answers {known}", 404),
  ENDPOINT_BAD_METHOD: entry("{method} is not answered here", "send GET", 405),
  PROFILE_BUSY: entry(
    "another profile is being taken",
    "wait for its end: one at a time, or they would show each other",
    409,
  ),
  PROFILE_BAD_SECONDS: entry(
    "seconds must be a whole number from 1 to {most}",
    "ask as: /debug/cpuprofile?seconds=10",
    400,
  ),
  TRACES_FAILED: entry(
    "traces cannot be delivered to {endpoint}: {detail}",
    "is an OpenTelemetry collector listening there, for OTLP over HTTP? The work itself goes on",
  ),
  NOTIFY_FAILED: entry(
    "systemd was not told about this process: {detail}",
    "it needs the program systemd-notify (package systemd), and NotifyAccess=all in the unit",
  ),
  // What the relay stands on: worker processes, memberships, the kernel's tables.
  RELAY_BAD_PLAN: entry(
    "the engine does not understand its plan: {detail}",
    "this is a defect of tapline: please report it",
  ),
  RELAY_WORKER_FILES: entry(
    "the files of a relay worker are of no use: {detail}",
    "check the disk's free space and the folder's permissions; nothing was changed",
    503,
  ),
  RELAY_JOINS_FAILED: entry(
    "groups cannot be joined: {detail}",
    "is native/build/relay_joins there, and may it run? Groups joined before stay joined",
    503,
  ),
  RELAY_NOT_ALLOWED: entry(
    "the kernel does not let this process relay by BPF: {detail}",
    "grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; the engine afpacket needs only CAP_NET_RAW",
    503,
  ),
  RELAY_PINS: entry(
    "{detail}: nothing can be pinned there",
    "mount a BPF file system: mount -t bpf bpf /sys/fs/bpf; without pins forwarding ends with this process",
    503,
  ),
  RELAY_FAILED: entry("the kernel refused a step of the relay: {detail}", "what ran before goes on", 503),
  RELAY_INTERFACE_TAKEN: entry(
    "another program is attached: {detail}",
    "it is left alone: use the engine tc there, which shares the interface",
    409,
  ),
  RELAY_ATTACH_FAILED: entry(
    "no program can be attached: {detail}",
    "is the interface there, and does its driver support it?",
    503,
  ),
  RELAY_FULL: entry(
    "more than the relay was made for: {detail}",
    "raise its limits and restart it with --uninstall",
    507,
  ),
  RELAY_ROOM: entry(
    "what the new rules replace is freed within a second: {detail}",
    "the rest of the plan is in force; apply it again after a second",
    503,
  ),
  RELAY_NO_RULE: entry(
    "the kernel's engines have no rule {detail}",
    "tapline rules list shows which engine carries it",
    404,
  ),
  NETWORK_NOT_PERMITTED: entry(
    "changing neighbours and addresses needs CAP_NET_ADMIN ({detail})",
    "run as root, or grant it to the process",
    503,
  ),
  NETWORK_FAILED: entry(
    "the kernel's routing tables cannot be asked: {detail}",
    "ip route shows what the kernel says",
    503,
  ),
  RELAY_PLAN_UNWRITABLE: entry(
    "the plan of {node} cannot be written: {detail}",
    "what runs there goes on, and it is tried again; does NATS have JetStream, with room, and may the operator use it?",
    503,
  ),
  RELAY_PLAN_CONTESTED: entry(
    "somebody else wrote the plan of {node} meanwhile",
    "two operators of one fleet? kubectl get lease shows which leads",
    409,
  ),
  // The operator, and its talk with the Kubernetes API.
  KUBE_CONFIG_UNUSABLE: entry(
    "{path} says not how the Kubernetes API is to be reached: {detail}",
    "name a kubeconfig with a server, its certificate authority, and a client certificate or a token; in a pod, give it a service account",
  ),
  KUBE_UNREACHABLE: entry(
    "the Kubernetes API at {server} cannot be reached: {detail}",
    "it is tried again; is the apiserver up, and is no network policy or firewall between?",
    503,
  ),
  KUBE_SILENT: entry(
    "the Kubernetes API at {server} said nothing for {seconds} s ({what})",
    "the connection was given up and is made anew; if it goes on, look at the apiserver's load and what is between",
    504,
  ),
  KUBE_UNAUTHORIZED: entry(
    "the Kubernetes API does not know who this is: {detail}",
    "has the token or the certificate expired, or is it of another cluster? A token file is read again by itself",
    401,
  ),
  KUBE_FORBIDDEN: entry(
    "the Kubernetes API does not allow it: {detail}",
    "grant that verb on that resource to this user (kubectl auth can-i --list); the chart's ClusterRole has all that is needed",
    403,
  ),
  KUBE_NOT_FOUND: entry(
    "the Kubernetes API does not have it ({what}): {detail}",
    "was it deleted, or is its CRD not installed?",
    404,
  ),
  KUBE_CONFLICT: entry("{what} was changed by another at the same time: {detail}", "look at it again and retry", 409),
  KUBE_ALREADY_EXISTS: entry("{what} exists already: {detail}", "look at it instead", 409),
  KUBE_FIELDS_TAKEN: entry(
    "fields of {what} belong to another: {detail}",
    "they were left as they are; kubectl get --show-managed-fields -o yaml shows whose they are",
    409,
  ),
  KUBE_EXPIRED: entry(
    "the Kubernetes API has forgotten what was before: {detail}",
    "all is listed anew; it happens after a restart of the apiserver and after long pauses",
    410,
  ),
  KUBE_INVALID: entry("the Kubernetes API refuses {what}: {detail}", "correct what the message names", 422),
  KUBE_OVERLOADED: entry(
    "the Kubernetes API asks for patience: {detail}",
    "it is tried again after the time that it said",
    429,
  ),
  KUBE_FAILED: entry(
    "the Kubernetes API failed at {what}: {detail}",
    "it is tried again; the apiserver's log may say more",
  ),
  LEASE_LOST: entry(
    "this process leads no more: {detail}",
    "it ends, and starts again as one that waits; two would write against each other",
    503,
  ),
  FINALIZER_OVERDUE: entry(
    "{what} was let go although not all of it could be ended within {seconds} s: {detail}",
    "look at the nodes that the message names once they are back",
  ),
  DRAIN_INCOMPLETE: entry(
    "not all of this fleet has been taken back: {detail}",
    "once what the message names is back, do it again; helm uninstall --no-hooks leaves it as it is: a relay that hears of nobody stops by itself after its orphanAfter",
  ),
  RECONCILE_OVERDUE: entry(
    "{controller} was not done with {what} within {seconds} s",
    "it is tried again; which step waits is in its trace",
    504,
  ),
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof catalogue;
export type ErrorDetails = Readonly<Record<string, string | number | bigint>>;

const fill = (text: string, details: ErrorDetails): string =>
  text.replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? "?"));

/** The only error class the project throws on purpose. */
export class TaplineError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly status: number;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails = {}, options?: ErrorOptions) {
    const found: Entry = catalogue[code];
    super(fill(found.message, details), options);
    this.name = "TaplineError";
    this.code = code;
    this.hint = fill(found.hint, details);
    this.status = found.status;
    this.details = details;
  }
}
