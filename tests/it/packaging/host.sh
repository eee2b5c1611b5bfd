# shellcheck shell=sh disable=SC2016
# A copy of this system to install packages into: its files are an overlay in memory over the real
# ones, its processes its own. It ends when stdin is closed, and leaves nothing.
#
# usage, as root: unshare --mount --propagation private sh host.sh DIR SHARED
#
# DIR is an empty directory for its files, SHARED one that it has in common with the outside. Prints
# "ready PID", a process in it.
set -e
mount -t tmpfs -o mode=0755 tmpfs "$1"
mkdir "$1/changes" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/changes,workdir=$1/work" overlay "$1/root"
mount --bind "$2" "$1/root$2"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs -o mode=0755 tmpfs "$1/root/run"
# Else packages with manuals wait for an index of all manuals, which takes most of the time.
rm -f "$1/root/var/lib/man-db/auto-update"
cd "$1/root"
exec unshare --pid --fork --kill-child sh -c '
# Still the /proc of the outside.
read -r pid _ </proc/self/stat
mount -t proc proc proc
mkdir run/old
pivot_root . run/old
umount -l /run/old
rmdir /run/old
echo "ready $pid"
exec 3<&0
# A shell reaps whoever is left to it.
cat <&3 >/dev/null 3<&- &
wait $!
'
