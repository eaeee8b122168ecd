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
  FILTER_BPF_INVALID: entry(
    "the capture filter does not compile: {detail}",
    "it is libpcap's language: man pcap-filter",
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
  BENCH_NEEDS_ROOT: entry(
    "bench capture makes network namespaces and a veth pair, which needs root",
    "sudo tapline bench capture",
  ),
  BENCH_NOT_BUILT: entry(
    "{path} is not built",
    "cmake -S native -B native/build -G Ninja && ninja -C native/build wire_sender capture_ablation",
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
  PORT_IN_USE: entry("port {port} on {host} is in use", "stop the other program, or choose another port with --port"),
  HOST_NOT_LOCAL: entry(
    "{host} is no address of this machine",
    "listen on 127.0.0.1, or on an address that `ip address` shows",
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
