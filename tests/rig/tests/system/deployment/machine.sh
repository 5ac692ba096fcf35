# Makes the namespace that it runs in look like a gateway, and runs a test there. All that is written to /etc, /usr,
# /var, /tmp, /run and /dev stays in the namespace's own memory.
#
#     machine.sh TREE DEMO NATS_SERVER TEST_PROGRAM TEST
#
# Exit code 77 where the system does not permit it.
set -eu
tree="$1" demo="$2" nats_server="$3" test_program="$4" test="$5"

skip() {
    echo "SKIPPED: deployment: $*"
    exit 77
}

for program in systemd-sysusers systemd-tmpfiles runuser python3 curl; do
    command -v "$program" >/dev/null || skip "there is no $program"
done
for path in /etc/thermowell /var/lib/thermowell /var/lib/thermowell-nats /usr/lib/systemd/system/thermowell-*; do
    [ ! -e "$path" ] || skip "this machine is a gateway: it has $path"
done

python3 - <<'PYTHON'
import fcntl, socket, struct
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP_RUNNING))
PYTHON
python="$(python3 -c 'import sys; print(sys.executable)')"

mount -t tmpfs -o mode=0755 tmpfs /run || skip "no tmpfs can be mounted"
machine=/run/machine
export THERMOWELL_MACHINE=$machine
mkdir -p $machine/{bin,tree,adapters,dev}
# Bound here, they are seen wherever they are: an overlay shows no mount below its folder.
for program in "demo=$demo" "nats-server=$nats_server" "test=$test_program" "python=$python"; do
    touch "$machine/${program%%=*}"
    mount --bind "${program#*=}" "$machine/${program%%=*}"
done
cp -r "$tree/deploy" "$tree/config" "$tree/Cargo.toml" $machine/tree/
cp "$tree"/tests/rig/tests/system/deployment/* $machine/
for name in cargo apt-get python3 udevadm systemctl; do
    ln -s ../stand_in.sh $machine/bin/$name
done
chmod 0755 $machine/stand_in.sh

for folder in etc usr var tmp; do
    mkdir -p $machine/layers/$folder/{upper,work}
    chmod --reference=/$folder $machine/layers/$folder/upper
    layers="lowerdir=/$folder,upperdir=$machine/layers/$folder/upper,workdir=$machine/layers/$folder/work"
    mount -t overlay -o "$layers" overlay /$folder || skip "no overlay can be mounted on /$folder"
done

mount -t tmpfs -o mode=0755 tmpfs $machine/dev
mkdir $machine/dev/{pts,shm}
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts $machine/dev/pts || skip "no devpts can be mounted"
for node in null zero full random urandom tty; do
    touch $machine/dev/$node
    mount --bind /dev/$node $machine/dev/$node
done
ln -s pts/ptmx $machine/dev/ptmx
ln -s /proc/self/fd $machine/dev/fd
mount --move $machine/dev /dev

# Not exec: this shell is process 1 of the namespace, and reaps what daemons leave.
code=0
$machine/test --exact "$test" --nocapture --test-threads 1 || code=$?
exit $code
