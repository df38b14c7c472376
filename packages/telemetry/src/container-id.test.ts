import assert from "node:assert/strict";
import { test } from "node:test";
import { containerId, containerIdOf } from "./container-id.ts";

const ID = "1ebedb637aea644ece9c9eb3f93f41cbe6e5a96ce3961f665b83bd12363ab303";
const OTHER = "b9bf5c4d46a1dd1d07bb5e4b4c1b8f1a0a1d1c9a6c1a6ad7e0ad8f6c31b0a7e2";
const POD = "8d461fa5-5bcc-4d0c-9b8b-8a7a3a1c2f4e";
const POD_SLICE = `kubepods-burstable-pod${POD.replaceAll("-", "_")}.slice`;

const CGROUPS: Readonly<Record<string, string>> = {
  "Docker, cgroup v1": `12:pids:/docker/${ID}\n1:name=systemd:/docker/${ID}\n0::/system.slice/containerd.service\n`,
  "Docker in Docker": `12:pids:/docker/${OTHER}/docker/${ID}\n`,
  "Docker with systemd": `13:memory:/system.slice/docker-${ID}.scope\n`,
  "Docker below Kubernetes": `11:memory:/kubepods/burstable/pod${POD}/${ID}\n`,
  "containerd below Kubernetes": `11:cpu,cpuacct:/kubepods.slice/kubepods-burstable.slice/${POD_SLICE}/cri-containerd-${ID}.scope\n`,
  "containerd as a service of systemd": `11:devices:/system.slice/containerd.service/${POD_SLICE}:cri-containerd:${ID}\n`,
  "CRI-O below Kubernetes": `10:freezer:/kubepods.slice/kubepods-besteffort.slice/${POD_SLICE}/crio-${ID}.scope\n`,
  "CRI-O, a group below its scope": `0::/kubepods.slice/${POD_SLICE}/crio-${ID}.scope/container\n`,
  "podman, cgroup v2 of the host": `0::/machine.slice/libpod-${ID}.scope/container\n`,
};
for (const [engine, cgroup] of Object.entries(CGROUPS)) {
  test(`finds the container in the cgroup: ${engine}`, () => assert.equal(containerIdOf({ cgroup, mountinfo: "" }), ID));
}

/** Of a container with cgroup v2: its group is hidden from it. */
const hidden = (mountinfo: string) => containerIdOf({ cgroup: "0::/\n", mountinfo });
const ROOT = `1118 1020 0:62 / / rw,relatime master:310 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/${OTHER}:/x,workdir=/y
1119 1118 0:65 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1123 1122 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw
`;

test("finds the container in the mounts of Docker and podman, with cgroup v2", () => {
  const docker = ["resolv.conf", "hostname", "hosts"].map(
    (file, at) => `${1130 + at} 1118 254:1 /docker/containers/${ID}/${file} /etc/${file} rw,relatime - ext4 /dev/vda1 rw`,
  );
  assert.equal(hidden(ROOT + docker.join("\n")), ID);
  const rootless = `495 499 0:54 /containers/overlay-containers/${ID}/userdata/.containerenv /run/.containerenv rw - tmpfs tmpfs rw\n`;
  assert.equal(hidden(ROOT + rootless), ID);
});

test("does not take the pause container of a pod for its own", () => {
  const kubelet = `1140 1118 254:1 /var/lib/kubelet/pods/${POD}/etc-hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw
1141 1118 254:1 /var/lib/kubelet/pods/${POD}/containers/worker/5f1c2d3e /dev/termination-log rw,relatime - ext4 /dev/vda1 rw
`;
  const engines = [
    `1142 1118 254:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/${OTHER}/hostname /etc/hostname rw - ext4 /dev/vda1 rw`,
    `1142 1118 0:24 /containers/storage/overlay-containers/${OTHER}/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw`,
    `1142 1118 254:1 /docker/containers/${OTHER}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw`,
  ];
  for (const mount of engines) assert.equal(hidden(`${ROOT}${mount}\n${kubelet}`), undefined, mount);
});

test("has none outside of a container, whatever else is mounted", () => {
  const host = `22 27 0:21 / /proc rw,relatime - proc proc rw\n27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n`;
  const volume = `90 27 254:0 /var/lib/docker/containers/${ID}/data /data rw,relatime - ext4 /dev/vda rw\n`;
  assert.equal(hidden(host + volume), undefined);
  assert.equal(containerIdOf({ cgroup: "4:memory:/user.slice/user-1000.slice/session-3.scope\n", mountinfo: host }), undefined);
  assert.equal(containerIdOf({ cgroup: "", mountinfo: "" }), undefined);
  assert.equal(containerIdOf({ cgroup: "nonsense \0", mountinfo: `a b\n${ID}\n` }), undefined);
});

test("never throws, in whatever this test runs", () => {
  assert.match(containerId() ?? ID, /^[0-9a-f]{64}$/);
});
