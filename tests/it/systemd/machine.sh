# shellcheck shell=sh disable=SC2016
# A machine of its own that systemd has booted: private processes, mounts, control groups, and a
# throw-away copy of the whole file system. It ends when stdin is closed, and everything in it ends
# too: no process, mount, group or file stays.
#
# usage, as root: unshare --mount --propagation private sh machine.sh UID HOME PROGRAMS SHARED
#
# UID is that of the user `tester`, whose manager runs from the start, with HOME as home. PROGRAMS
# is /opt/credmount-it inside; the directory SHARED is the same inside and outside. Prints
# "ready PID", the init of the machine.
set -e

inside='
set -e
root=$1 uid=$2 home=$3 programs=$4 shared=$5

# Still the /proc of the machine around this one.
read -r init _ </proc/self/stat

# What is written, in whatever place, is written into memory.
mount -t tmpfs -o mode=0755 tmpfs "$root"
mkdir "$root/upper" "$root/work" "$root/all"
mount -t overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" overlay "$root/all"
cd "$root/all"
mkdir -p opt/credmount-it ".$shared"
mount --bind "$programs" opt/credmount-it
mount --bind "$shared" ".$shared"
mount --rbind /dev dev
mount -t proc proc proc
# The machine is not to set up the kernel of the one around it.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs run
pivot_root . mnt
umount -l /mnt
# As on booted systems: what is mounted later appears in the namespaces that ask for it.
mount --make-rshared /

# Only what is written here boots, none of the services of the machine around this one.
mount -t tmpfs -o mode=0755 tmpfs /etc/systemd/system
mkdir /usr/lib/systemd/credmount-it
cd /usr/lib/systemd/credmount-it
for target in sysinit basic shutdown umount sockets paths timers multi-user; do
    printf "[Unit]\nDefaultDependencies=no\n" >"$target.target"
done
printf "[Unit]\nWants=user@%s.service dbus.service systemd-journald.service multi-user.target\n" \
    "$uid" >default.target
cat >systemd-journald.service <<UNIT
[Unit]
DefaultDependencies=no
Requires=systemd-journald.socket
After=systemd-journald.socket
[Service]
Type=notify
ExecStart=/usr/lib/systemd/systemd-journald
StandardOutput=null
FileDescriptorStoreMax=512
UNIT
cat >systemd-journald.socket <<UNIT
[Unit]
DefaultDependencies=no
[Socket]
ListenDatagram=/run/systemd/journal/socket
ListenStream=/run/systemd/journal/stdout
PassCredentials=yes
PassSecurity=yes
ReceiveBuffer=8M
Timestamping=us
UNIT
rm -rf /etc/systemd/journald.conf.d
cat >/etc/systemd/journald.conf <<CONF
[Journal]
Storage=volatile
RateLimitIntervalSec=0
ReadKMsg=no
Audit=no
ForwardToWall=no
CONF
cat >dbus.service <<UNIT
[Unit]
Requires=dbus.socket
After=dbus.socket systemd-journald.service
[Service]
Type=notify
ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
UNIT
printf "[Socket]\nListenStream=/run/dbus/system_bus_socket\n" >dbus.socket
# As pam_systemd and logind set it up, save that the hard limit of descriptors is what we have.
cat >user@.service <<UNIT
[Unit]
After=systemd-journald.service dbus.service
[Service]
Type=notify
User=%i
Environment=XDG_RUNTIME_DIR=/run/user/%i DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/%i/bus
ExecStartPre=+/usr/bin/install -d -m 0755 /run/user
ExecStartPre=+/usr/bin/install -d -m 0700 -o %i -g %i /run/user/%i
ExecStart=/usr/lib/systemd/systemd --user
Delegate=yes
KillMode=mixed
UNIT

for line in "passwd tester:x:$uid:$uid::$home:/bin/sh" "group tester:x:$uid:" \
    "fuse.conf user_allow_other"; do
    file=/etc/${line%% *}
    if [ -e "$file" ]; then echo "${line#* }" >>"$file"; fi
done
ln -sf /proc/self/mounts /etc/mtab
chmod 0666 /dev/fuse

cd /
echo "ready $init"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=credmount-it \
    SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/usr/lib/systemd/credmount-it \
    SYSTEMD_GENERATOR_PATH=/nowhere SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nowhere \
    /usr/lib/systemd/systemd --system --log-target=journal --show-status=no \
    </dev/null >/dev/null 2>&1
'

mount -t cgroup2 none /sys/fs/cgroup
group=$(mktemp -d /sys/fs/cgroup/credmount-it-XXXXXX)
chmod 0755 "$group"
root=$(mktemp -d "${TMPDIR:-/tmp}/credmount-it-XXXXXX")
setpriv --pdeathsig KILL unshare --pid --fork --kill-child sh -c '
echo 0 >"$1/cgroup.procs"
shift
exec unshare --cgroup --mount --uts --ipc "$@"
' sh "$group" sh -c "$inside" sh "$root" "$@" &
namespaces=$!
cat >/dev/null || true
# The init first: when it is gone, so is everything else in there.
kill -9 "$(cat "/proc/$namespaces/task/$namespaces/children")" || kill -9 "$namespaces" || true
wait "$namespaces" || true
rmdir "$root"
find "$group" -depth -type d -exec rmdir {} ';'
