import { readFileSync } from "node:fs";

/** What the kernel tells a process about itself. */
export interface ProcessFiles {
  /** /proc/self/cgroup */
  readonly cgroup: string;
  /** /proc/self/mountinfo */
  readonly mountinfo: string;
}

/** `…/docker/ID`, `…-pod1.slice:cri-containerd:ID`, `…/crio-ID.scope`, `…/libpod-ID.scope/container`. */
const IN_CGROUP = /[/:-]([0-9a-f]{64})(?:\.scope)?(?=\/|$)/g;
/** `/var/lib/docker/containers/ID/hostname`, `…/overlay-containers/ID/userdata/.containerenv`. */
const IN_MOUNT = /\/(?:overlay-)?containers\/([0-9a-f]{64})\//;
/** What an engine puts into each of its containers, by Docker and by podman. */
const OF_THE_ENGINE = new Set(["/etc/hostname", "/run/.containerenv"]);
/** The kubelet's own: every container has one of them. */
const OF_A_POD = /\/pods\/[0-9a-f-]{36}\//;

/**
 * The id of the container that a process runs in, of Docker, containerd, CRI-O or podman; undefined outside of one.
 *
 * With cgroup v2 a container does not see its own cgroup, and only what its engine mounts into it names it. In a pod these
 * are the files of the pause container, shared by all of the pod: rather no id than that one. There the collector knows it,
 * by pod and container name.
 */
export function containerIdOf({ cgroup, mountinfo }: ProcessFiles): string | undefined {
  for (const line of cgroup.split("\n")) {
    // Nested: the innermost is ours.
    const id = [...line.matchAll(IN_CGROUP)].at(-1)?.[1];
    if (id !== undefined) return id;
  }
  // "36 35 98:0 /what /where options … - type source options"
  const mounts = mountinfo.split("\n").map((line) => line.split(" "));
  if (mounts.some(([, , , what = ""]) => OF_A_POD.test(what))) return undefined;
  for (const [, , , what = "", where = ""] of mounts) {
    const id = OF_THE_ENGINE.has(where) ? IN_MOUNT.exec(what)?.[1] : undefined;
    if (id !== undefined) return id;
  }
  return undefined;
}

let own: { readonly id: string | undefined } | undefined;

/** That of this process. Read once: it does not change. Never throws. */
export function containerId(): string | undefined {
  own ??= { id: containerIdOf({ cgroup: read("/proc/self/cgroup"), mountinfo: read("/proc/self/mountinfo") }) };
  return own.id;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Not Linux, or hidden.
    return "";
  }
}
