// What can keep a cluster from coming up, each with what to do about it. The product's own errors are in domain/errors.ts.

interface Entry {
  readonly message: string;
  readonly remedy: string;
}
const entry = (message: string, remedy: string): Entry => ({ message, remedy });

/** `{name}` in a text is filled from the problem's details. */
const catalogue = {
  USAGE: entry("{detail}", "npm run cluster -- --help"),
  NOT_ROOT: entry("a cluster makes namespaces, mounts and cgroups, which needs root", "sudo npm run cluster -- up"),
  PROGRAM_MISSING: entry("{program} is not installed: {need}", "apt-get install -y --no-install-recommends {package}"),
  KERNEL_LACKS: entry(
    "this kernel, or the container around this process, does not allow {feature}: {detail}",
    "{need}; in a container, run it on the machine itself, or grant CAP_SYS_ADMIN, CAP_NET_ADMIN and no seccomp profile",
  ),
  MEMORY_SHORT: entry(
    "{available} MiB of memory are free, a cluster of {nodes} nodes needs {needed} MiB",
    "end something, take another cluster down (npm run cluster -- status), or ask for fewer --nodes",
  ),
  DISK_SHORT: entry("{path} has {available} MiB free, a cluster needs {needed} MiB", "make room there"),
  FOLDER_HIDDEN: entry(
    "{path} lies below {hidden}, which each node has of its own: it would not see its own files",
    "put the checkout elsewhere; for the cache, set XDG_CACHE_HOME",
  ),
  PORT_TAKEN: entry("port {port} of 127.0.0.1 is in use", "name another --port, or none: a free one is taken"),
  HALF_UP: entry(
    "the cluster {name} is half up: {detail}",
    "wait if another process is bringing it up; else: npm run cluster -- down --name {name}",
  ),
  UP_OTHERWISE: entry(
    "the cluster {name} is up already, with {detail}",
    "npm run cluster -- down --name {name}, or take another --name",
  ),
  NOT_UP: entry("there is no cluster {name} of this checkout", "npm run cluster -- up --name {name}"),
  KUBERNETES_UNKNOWN: entry(
    "Kubernetes {version} is not pinned here, only {known}",
    "test/e2e/cluster/modules/pin.sh {version} pins it, if the Go module proxy serves it",
  ),
  GO_MISSING: entry(
    "there is no Go {wanted} or newer, and the Python package that has one could not be installed: {detail}",
    "install Go {wanted}, or let the Python package index be reached",
  ),
  BUILD_FAILED: entry(
    "{program} could not be built (whole log: {log}):\n{detail}",
    "see above; is the Go module proxy reached? go env GOPROXY",
  ),
  COMMAND_FAILED: entry("{command} failed:\n{detail}", "see above; the logs of the cluster are in {log}"),
  DAEMON_ENDED: entry("{daemon} ended while it was waited for; the end of {log}:\n{detail}", "see above"),
  TIMED_OUT: entry("{what} did not come within {seconds} s", "the logs are in {log}"),
  NOT_SWEPT: entry(
    "the cluster {name} left something behind: {detail}",
    "a process that cannot be killed hangs in the kernel (ps -o pid,stat,wchan,args); down may be called again",
  ),
} as const satisfies Record<string, Entry>;

export type ProblemCode = keyof typeof catalogue;
type Details = Readonly<Record<string, string | number>>;

const filled = (text: string, details: Details): string =>
  text.replace(/\{(\w+)\}/g, (whole, name: string) => String(details[name] ?? whole));

export class ClusterProblem extends Error {
  readonly code: ProblemCode;
  readonly remedy: string;

  constructor(code: ProblemCode, details: Details = {}) {
    super(filled(catalogue[code].message, details));
    this.name = "ClusterProblem";
    this.code = code;
    this.remedy = filled(catalogue[code].remedy, details);
  }
}
