#!/usr/bin/env bash
# A second node for the cluster that CONTAINER_KIT's cluster.sh has started: a network namespace, a containerd, a kubelet and
# a kube-proxy of its own, beside those of node-1. Root; the programs in KUBE_BIN.
#
#   second-node.sh up [TAR...]   start it, wait until it is Ready, and load image archives on it
#   second-node.sh stop          as if its power had failed: every process of it is killed, and it answers nobody
#   second-node.sh down          stop it and remove what it leaves; before cluster.sh down
set -euo pipefail

dir=${CLUSTER_DIR:?} first=${CLUSTER_NETNS:?} bin=${KUBE_BIN:-/usr/local/lib/kubernetes} cni=${CNI_BIN:-/usr/lib/cni}
ns=$first-2 own=$dir/second address=10.223.1.2 gateway=10.223.1.1 pods=10.204 group=/symphony-node-2
export PATH=$bin:$PATH

start() { # start NAME COMMAND...
  local name=$1
  shift
  nsenter --net="/run/netns/$ns" setsid "$@" > "$own/$name.log" 2>&1 < /dev/null &
  echo $! > "$own/$name.pid"
}

groups() { find /sys/fs/cgroup -maxdepth 2 -path "*$group" -type d; }

network() {
  ip netns add "$ns"
  ip link add second-a netns "$first" type veth peer name eth0 netns "$ns"
  ip -n "$first" addr add "$gateway/30" dev second-a
  ip -n "$first" link set second-a up
  ip -n "$ns" addr add "$address/30" dev eth0
  ip -n "$ns" link set eth0 up
  ip -n "$ns" link set lo up
  ip -n "$ns" route add default via "$gateway"
  ip -n "$first" route add "$pods.1.0/24" via "$address"
  nsenter --net="/run/netns/$ns" sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
}

runtime() {
  mkdir -p "$own/cni"
  sed -e "s|$dir/cni/ipam|$own/cni/ipam|; s|$pods.0.0/24|$pods.1.0/24|" "$dir/cni/10-bridge.conflist" > "$own/cni/10-bridge.conflist"
  sed -e "s|$dir/containerd|$own/containerd|g; s|conf_dir = .*|conf_dir = \"$own/cni\"|" "$dir/containerd.toml" > "$own/containerd.toml"
  start containerd containerd -c "$own/containerd.toml"
  until ctr -a "$own/containerd.sock" version > /dev/null 2>&1; do sleep 0.2; done
}

node() {
  # Where the hierarchies of cgroups are separate, the node needs a group in each.
  for controller in /sys/fs/cgroup/*/; do
    [ ! -d "${controller}kubepods" ] || mkdir -p "${controller%/}$group"
  done
  [ ! -d /sys/fs/cgroup/cpuset$group ] || for f in cpuset.cpus cpuset.mems; do cat /sys/fs/cgroup/cpuset/$f > /sys/fs/cgroup/cpuset$group/$f; done
  sed -e "s|$dir/containerd.sock|$own/containerd.sock|; s|^address:.*|address: $address|; s|^cgroupRoot:.*|cgroupRoot: $group|" "$dir/kubelet.yaml" > "$own/kubelet.yaml"
  start kubelet kubelet --config "$own/kubelet.yaml" --kubeconfig "$dir/kubeconfig" --root-dir "$own/kubelet" \
    --cert-dir "$own/kubelet-pki" --hostname-override node-2 --node-ip "$address"
  sed -e 's|^hostnameOverride:.*|hostnameOverride: node-2|' "$dir/kube-proxy.yaml" > "$own/kube-proxy.yaml"
  start kube-proxy kube-proxy --config "$own/kube-proxy.yaml"
}

kill_all() {
  [ ! -s "$own/kubelet.pid" ] || kill -KILL "$(cat "$own/kubelet.pid")" 2> /dev/null || true
  local left
  for _ in $(seq 30); do
    left=$({ groups | while read -r g; do find "$g" -name cgroup.procs -exec cat {} +; done; ip netns pids "$ns" 2> /dev/null || true; } | sort -u)
    [ -n "$left" ] || break
    # shellcheck disable=SC2086
    kill -KILL $left 2> /dev/null || true
    sleep 0.1
  done
}

case ${1:-} in
  up)
    shift
    mkdir -p "$own"
    network
    runtime
    for archive; do ctr -a "$own/containerd.sock" -n k8s.io images import "$archive" > /dev/null; done
    node
    for _ in $(seq 300); do
      kubectl --kubeconfig "$dir/kubeconfig" wait --for=condition=Ready node/node-2 --timeout=1s > /dev/null 2>&1 && echo "node-2 ready" && exit 0
      sleep 0.3
    done
    tail -n 20 "$own"/*.log >&2
    exit 1
    ;;
  stop) kill_all ;;
  down)
    names=$(grep -hos 'netns/cni-[0-9a-f-]*' "$own"/containerd-state/io.containerd.runtime.v2.task/k8s.io/*/config.json | cut -d/ -f2 | sort -u || true)
    kill_all
    awk -v d="$own/" 'index($5, d) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r m; do umount -l "$m" || true; done
    groups | while read -r g; do find "$g" -depth -type d -exec rmdir {} + 2> /dev/null || true; done
    for name in $names; do ip netns del "$name" 2> /dev/null || true; done
    ip netns del "$ns" 2> /dev/null || true
    ip -n "$first" link del second-a 2> /dev/null || true
    rm -rf "$own"
    ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
