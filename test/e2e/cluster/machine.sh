#!/bin/sh
# One machine's own file systems. Called in namespaces just unshared (net, mount, uts, cgroup), in the cgroup that is to be the machine's root.
# Enters: NAME FOLDER HIERARCHY…, each `MOUNT=OPTIONS`. Leaves: own /sys, /run, /var/lib, /var/log, bpffs and cgroups; then it sleeps and keeps them.
set -eu
name=$1
folder=$2
shift 2
hostname "$name"
ip link set lo up

# What the real machine has there would be kept busy by this one, network namespaces above all.
export LC_ALL=C
awk '$5 ~ "^/(run|sys|var/lib|var/log)(/|$)" {print $5}' /proc/self/mountinfo | sort -ru | while read -r path; do
  # A namespace that is deleted meanwhile, by whoever made it, takes its mount along.
  while mountpoint -q "$path"; do umount -l "$path" || if mountpoint -q "$path"; then exit 1; fi; done
done

mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock
mount --bind "$folder/lib" /var/lib
mount --bind "$folder/varlog" /var/log
# The kubelet sets these for the whole real machine, and nobody would put them back. Here it reads what it wants already.
mkdir /run/settings
while read -r setting value; do
  echo "$value" >"/run/settings/${setting##*/}"
  mount --bind "/run/settings/${setting##*/}" "/proc/sys/$setting"
done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END

# In a cgroup namespace the machine's own cgroup is the root of what is mounted.
[ "$*" = "/sys/fs/cgroup=" ] || mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
for hierarchy; do
  path=${hierarchy%%=*}
  options=${hierarchy#*=}
  mkdir -p "$path"
  if [ -n "$options" ]; then mount -t cgroup -o "$options" cgroup "$path"; else mount -t cgroup2 cgroup "$path"; fi
  # v2 gives no controllers to the children of a group that has processes of its own.
  mkdir -p "$path/daemons"
  if [ -f "$path/cpuset.cpus" ] && [ -f "$path/daemons/cpuset.mems" ] && [ -n "$options" ]; then
    cat "$path/cpuset.cpus" >"$path/daemons/cpuset.cpus"
    cat "$path/cpuset.mems" >"$path/daemons/cpuset.mems"
  fi
  echo $$ >"$path/daemons/cgroup.procs"
  if [ -z "$options" ]; then sed 's/\(\w\+\)/+\1/g' "$path/cgroup.controllers" >"$path/cgroup.subtree_control"; fi
done
echo ready
exec sleep infinity
