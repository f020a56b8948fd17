#!/bin/sh
# enter.sh ROOT MOUNTS HOSTNAME FOLDER UID GID GROUPS ro|rw COMMAND...
#
# Runs inside new mount, process and host-name namespaces: builds a container's root file system at
# ROOT from the list MOUNTS (lines `ro|rw SOURCE TARGET`), then becomes COMMAND there, as that user
# and without capabilities.
set -eu
root=$1 mounts=$2 name=$3 folder=$4 uid=$5 gid=$6 groups=$7 access=$8
shift 8

hostname "$name"
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir "$root/usr" "$root/etc" "$root/proc" "$root/dev" "$root/tmp" "$root/var"
chmod 1777 "$root/tmp"
for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
while read -r mode source target; do
  if [ -d "$source" ]; then mkdir -p "$root$target"; else
    mkdir -p "$(dirname "$root$target")"
    [ -e "$root$target" ] || : > "$root$target"
  fi
  mount --bind "$source" "$root$target"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$root$target"
done < "$mounts"
[ -d "$root$folder" ] || mkdir -p "$root$folder"
[ "$access" = rw ] || mount -o remount,ro "$root"
# A change of the user takes the death signal away that unshare has set.
exec chroot "$root" /usr/bin/setpriv --reuid "$uid" --regid "$gid" --groups "$groups" \
  --no-new-privs --bounding-set=-all --inh-caps=-all --pdeathsig KILL /usr/bin/env -C "$folder" "$@"
