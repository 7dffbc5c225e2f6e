"""Processes: started here, ended here, by their number and never by their name."""

import ctypes
import os
import signal
import socket
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Daemons leave their parent; from now on they come to us, so that what we started can always be found."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants(root=None):
    """All processes below `root` (us), zombies left out."""
    children = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(name))
    found, open_ = [], [root or os.getpid()]
    while open_:
        for child in children.get(open_.pop(), []):
            found.append(child)
            open_.append(child)
    return found


def reap():
    """Buries adopted processes that have ended. Only for those that no Popen waits for."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def wait_for(what, seconds, pause=0.02):
    """Waits until `what()` is true; what it was at last."""
    end = time.monotonic() + seconds
    while True:
        result = what()
        if result or time.monotonic() > end:
            return result
        time.sleep(pause)


def end_all(pids, seconds=8):
    """Asks processes to end, waits, and ends them."""
    mine = set(pids)
    for pid in mine:
        _signal(pid, signal.SIGTERM)

    def gone():
        reap()
        return not mine & set(descendants())

    if not wait_for(gone, seconds):
        for pid in mine & set(descendants()):
            _signal(pid, signal.SIGKILL)
        wait_for(gone, 3)


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def free_port():
    """One that no other test is given at the same time."""
    script = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts", "free-port")
    return int(subprocess.run([script], capture_output=True, check=True, timeout=30).stdout)


def is_listening(port):
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def output(*command, timeout=30, check=False):
    """What a command writes, to stdout and stderr."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False
    )
    text = done.stdout.decode(errors="replace")
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {text.strip()}")
    return text
