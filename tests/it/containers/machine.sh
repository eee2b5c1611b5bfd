# shellcheck shell=sh disable=SC2016
# A machine of its own for container runtimes: private mounts, processes and control groups. It ends
# when stdin is closed, and everything in it ends too: no process, mount or group stays.
#
# usage, as root: unshare --mount --propagation private \
#                     sh machine.sh PYTHON PACKAGES SCRIPTS PROGRAMS UID [DAEMON...]
#
# Prints "ready PID", a process in the machine, and runs DAEMON there, its log in /run/daemon.log.
set -e

inside='
set -e
# Still the /proc of the machine around this one.
read -r pid _ </proc/self/stat
umount /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t proc proc /proc
# As on booted systems: what is mounted later appears in the containers that ask for it.
mount --make-rshared /
# A group that has processes cannot hand controllers to the groups below it.
mkdir /sys/fs/cgroup/init
echo 0 >/sys/fs/cgroup/init/cgroup.procs

# Sockets, states and images of the runtimes live in memory; dockerd also writes a key.
mount -t tmpfs -o mode=0755 tmpfs /run
if [ -d /etc/docker ]; then mount -t tmpfs tmpfs /etc/docker; fi

# Where every user and container can be given them, whatever directory they were built in.
mkdir /run/clients
for name in python packages scripts programs; do
    mkdir "/run/clients/$name"
    mount --rbind "$1" "/run/clients/$name"
    shift
done

# An ordinary user who has more uids to give to containers, and may open mounts to others.
install -d -m 0700 -o "$1" -g "$1" /run/user /run/home
for file in passwd group subuid subgid fuse.conf; do
    if [ ! -e "/etc/$file" ]; then continue; fi
    cp "/etc/$file" "/run/$file"
    case $file in
    passwd) echo "tester:x:$1:$1::/run/home:/bin/sh" ;;
    group) echo "tester:x:$1:" ;;
    fuse.conf) echo user_allow_other ;;
    *) echo "tester:200000:65536" ;;
    esac >>"/run/$file"
    mount --bind "/run/$file" "/etc/$file"
done
shift

# The file system of an image that gets its programs from a bound /usr.
mkdir /run/image
cd /run/image
mkdir -p dev etc home/app proc root run sys tmp usr
chmod 0755 root
cp /etc/ld.so.cache etc/
for dir in bin lib lib64 sbin; do
    if [ -L "/$dir" ]; then ln -s "usr/$dir" "$dir"; fi
done
cd /
tar -C /run/image -cf /run/image.tar .

if [ $# -gt 0 ]; then "$@" >/run/daemon.log 2>&1 </dev/null & fi
exec 3<&0
# Not read by this shell, which waits, and so reaps whoever is left to it.
cat <&3 >/dev/null &
echo "ready $pid"
wait $!
'

mount -t cgroup2 none /sys/fs/cgroup
group=$(mktemp -d /sys/fs/cgroup/credmount-it-XXXXXX)
unshare --pid --fork --kill-child sh -c '
echo 0 >"$1/cgroup.procs"
shift
exec unshare --cgroup --mount "$@"
' sh "$group" sh -c "$inside" sh "$@" || true
find "$group" -depth -type d -exec rmdir {} ';'
