"""A stand-in for systemd and systemctl, with what deploy/README.md and its units need.

`systemctl.py manage` is the manager; any other arguments are an order for it. As in systemd:

* a unit is read when it is first named, and again at daemon-reload, enable and disable only;
* a service runs as its user, with a clean environment, its folders, and copies of its credentials;
* a service of Type=notify has started when it reports READY=1;
* a service that ends is started again, unless its exit code is one of RestartPreventExitStatus=;
* `$NAME` is replaced where it is a whole word, `${NAME}` everywhere.

What confines a service (capabilities, file system, system calls, networks) is not applied.
"""

import glob
import grp
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time

ORDERS = "/run/machine/systemctl"
UNITS = "/usr/lib/systemd/system"
OWN = "/etc/systemd/system"
LOGS = "/run/machine/logs"
EXIT_CREDENTIALS = 243
READY_LIMIT_S = 30


class Failure(Exception):
    """An order that fails: its exit code and the reason."""

    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s)", text).groups()
    return int(number) / (1000 if unit == "ms" else 1)


class Service:
    def __init__(self, name):
        self.name = name
        self.process = None
        self.wanted = False
        self.read()

    def files(self):
        unit = f"{UNITS}/{self.name}.service"
        if not os.path.exists(unit):
            raise Failure(5, f"Unit {self.name}.service not found.")
        return [unit, *sorted(glob.glob(f"{OWN}/{self.name}.service.d/*.conf"))]

    def read(self):
        self.settings = {}
        for path in self.files():
            with open(path, encoding="utf-8") as lines:
                for line in map(str.strip, lines):
                    if line and line[0] not in "#;[":
                        key, value = line.split("=", 1)
                        self.settings.setdefault(key, []).append(value)

    def all(self, key):
        return " ".join(self.settings.get(key, [])).split()

    def one(self, key, default=None):
        return self.settings.get(key, [default])[-1]

    def is_active(self):
        return self.process is not None and self.process.poll() is None

    def folder(self, path, mode, user):
        os.makedirs(path, exist_ok=True)
        os.chown(path, user.pw_uid, user.pw_gid)
        os.chmod(path, mode)
        return path

    def environment(self, user):
        found = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "USER": user.pw_name, "HOME": user.pw_dir}
        found.update(word.split("=", 1) for word in self.all("Environment"))
        for kind, parent in (("State", "/var/lib"), ("Runtime", "/run")):
            for name in self.all(f"{kind}Directory"):
                mode = int(self.one(f"{kind}DirectoryMode", "0755"), 8)
                found[f"{kind.upper()}_DIRECTORY"] = self.folder(f"{parent}/{name}", mode, user)
        if self.all("LoadCredential"):
            folder = self.folder(f"/run/credentials/{self.name}.service", 0o500, user)
            for name, source in (word.split(":", 1) for word in self.all("LoadCredential")):
                copy = f"{folder}/{name}"
                shutil.copyfile(source, copy)
                os.chown(copy, user.pw_uid, user.pw_gid)
                os.chmod(copy, 0o400)
            found["CREDENTIALS_DIRECTORY"] = folder
        return found

    def launch(self, command, environment, user):
        words = []
        for word in shlex.split(command):
            if re.fullmatch(r"\$\w+", word):
                words += environment.get(word[1:], "").split()
            else:
                words.append(re.sub(r"\$\{(\w+)\}", lambda name: environment.get(name[1], ""), word))
        groups = {*os.getgrouplist(user.pw_name, user.pw_gid), *(grp.getgrnam(g).gr_gid for g in self.all("SupplementaryGroups"))}
        with open(f"{LOGS}/{self.name}.log", "ab") as log:
            return subprocess.Popen(
                words, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                user=user.pw_uid, group=grp.getgrnam(self.one("Group")).gr_gid, extra_groups=sorted(groups),
                umask=int(self.one("UMask", "0022"), 8),
            )

    def start(self):
        """Starts it and waits until it has started."""
        if self.is_active():
            return
        self.wanted = True
        ready = self.spawn()
        limit = time.monotonic() + READY_LIMIT_S
        while not ready.wait(0.01):
            if not self.is_active() or time.monotonic() > limit:
                raise Failure(1, f"Job for {self.name}.service failed.")

    def spawn(self):
        user = pwd.getpwnam(self.one("User"))
        ready = threading.Event()
        try:
            environment = self.environment(user)
        except FileNotFoundError as error:
            self.wanted = False
            raise Failure(EXIT_CREDENTIALS, f"{self.name}: {error}") from error
        if self.one("Type") == "notify":
            path = f"/run/notify-{self.name}"
            if os.path.exists(path):
                os.unlink(path)
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            channel.bind(path)
            os.chmod(path, 0o777)
            environment["NOTIFY_SOCKET"] = path
            threading.Thread(target=listen, args=(channel, ready), daemon=True).start()
        else:
            ready.set()
        self.process = self.launch(self.one("ExecStart"), environment, user)
        threading.Thread(target=self.tend, args=(self.process,), daemon=True).start()
        return ready

    def tend(self, process):
        code = process.wait()
        if self.wanted and self.one("Restart") == "always" and str(code) not in self.all("RestartPreventExitStatus"):
            time.sleep(seconds(self.one("RestartSec")))
            if self.wanted and self.process is process:
                self.spawn()

    def stop(self):
        self.wanted = False
        if self.is_active():
            self.process.terminate()
            try:
                self.process.wait(seconds(self.one("TimeoutStopSec")))
            except subprocess.TimeoutExpired as error:
                self.process.kill()
                raise Failure(1, f"{self.name} does not stop.") from error
        shutil.rmtree(f"/run/credentials/{self.name}.service", ignore_errors=True)

    def reload(self):
        if not self.is_active():
            raise Failure(1, f"{self.name}.service is not active, cannot reload.")
        if not self.one("ExecReload"):
            raise Failure(3, f"Job type reload is not applicable for unit {self.name}.service.")
        environment = {"PATH": "/usr/bin", "MAINPID": str(self.process.pid)}
        for command in self.settings["ExecReload"]:
            code = self.launch(command, environment, pwd.getpwnam(self.one("User"))).wait()
            if code != 0:
                raise Failure(1, f"Reload failed for {self.name}.service: exit code {code}.")

    def links(self):
        return [f"{OWN}/{target}.wants/{self.name}.service" for target in self.all("WantedBy")]


def listen(channel, ready):
    while True:
        if b"READY=1" in channel.recv(4096).split(b"\n"):
            ready.set()


class Manager:
    def __init__(self):
        self.services = {}

    def service(self, name):
        name = name.removesuffix(".service")
        if name not in self.services:
            self.services[name] = Service(name)
        return self.services[name]

    def daemon_reload(self):
        for name, service in list(self.services.items()):
            try:
                service.read()
            except Failure:
                if service.is_active():
                    raise
                del self.services[name]

    def start(self, service):
        for other in service.all("Wants"):
            if other in service.all("After"):
                self.service(other).start()
        service.start()

    def order(self, verb, names, now):
        services = [self.service(name) for name in names]
        # What a unit comes after is started before it, and stopped behind it.
        services.sort(key=lambda service: sum(f"{other.name}.service" in service.all("After") for other in services))
        backwards = services[::-1]
        if verb == "daemon-reload" and not names:
            self.daemon_reload()
        elif verb == "enable" and services:
            for link, service in ((link, service) for service in services for link in service.links()):
                os.makedirs(os.path.dirname(link), exist_ok=True)
                if not os.path.islink(link):
                    os.symlink(f"{UNITS}/{service.name}.service", link)
            self.daemon_reload()
            if now:
                self.order("start", names, False)
        elif verb == "disable" and services:
            for link in (link for service in services for link in service.links() if os.path.islink(link)):
                os.unlink(link)
            self.daemon_reload()
            if now:
                self.order("stop", names, False)
        elif verb == "start" and services:
            for service in services:
                self.start(service)
        elif verb == "stop" and services:
            for service in backwards:
                service.stop()
        elif verb in ("restart", "try-restart") and services:
            running = [service for service in services if verb == "restart" or service.is_active()]
            for service in (service for service in backwards if service in running):
                service.stop()
            for service in running:
                self.start(service)
        elif verb == "reload" and services:
            for service in services:
                service.reload()
        else:
            raise Failure(64, f"systemctl stand-in: unexpected {verb}")

    def serve(self):
        os.makedirs(LOGS)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(ORDERS)
        listener.listen()
        while True:
            caller, _ = listener.accept()
            with caller, caller.makefile("rw", encoding="utf-8") as talk:
                words = talk.readline().split()
                try:
                    self.order(words[0], [word for word in words[1:] if word != "--now"], "--now" in words)
                    talk.write("0\n")
                except Failure as failure:
                    talk.write(f"{failure.code} {failure}\n")


def ask(words):
    with socket.socket(socket.AF_UNIX) as manager:
        manager.connect(ORDERS)
        with manager.makefile("rw", encoding="utf-8") as talk:
            talk.write(" ".join(words) + "\n")
            talk.flush()
            code, _, reason = talk.readline().strip().partition(" ")
    if reason:
        print(reason, file=sys.stderr)
    return int(code or 70)


if sys.argv[1:] == ["manage"]:
    Manager().serve()
else:
    sys.exit(ask(sys.argv[1:]))
