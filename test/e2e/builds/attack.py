"""Looks for credentials as a step of a build could, and says what it has found.

The word that planted credentials begin with is not written here in one piece: this file and its memory are looked
through as well.
"""

import os
import re
import socket
import ssl
import urllib.request
from pathlib import Path

WORD = bytes(reversed(b"-yranac"))
SECRETS = "run/labwright/secrets"
TOKEN = "var/run/secrets/kubernetes.io/serviceaccount/token"
LARGEST_REGION = 64 << 20


def read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def names(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def memory_has_word(pid):
    """None where the memory cannot be read."""
    maps = read(f"/proc/{pid}/maps")
    if not maps:
        return None
    try:
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for begin, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps.decode(), re.MULTILINE):
                begin, end = int(begin, 16), int(end, 16)
                try:
                    memory.seek(begin)
                    if WORD in memory.read(min(end - begin, LARGEST_REGION)):
                        return True
                except OSError:
                    continue
    except OSError:
        return None
    return False


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=3, context=ssl._create_unverified_context()) as answer:
            return f"answers {answer.status}"
    except urllib.error.HTTPError as error:
        return f"answers {error.code}"
    except (OSError, socket.timeout):
        return "does not answer"


pids = [int(name) for name in names("/proc") if name.isdigit() and int(name) != os.getpid()]
roots = ["/", *[f"/proc/{pid}/root/" for pid in pids], *[f"/proc/{pid}/cwd/" for pid in pids]]
files = [root + SECRETS + "/" + name for root in roots for name in names(root + SECRETS)]
texts = [read(f"/proc/{pid}/{what}") for pid in pids for what in ("environ", "cmdline")]
memories = [memory_has_word(pid) for pid in pids]
print(f"attack: {len(pids)} other processes, {sum(each is not None for each in memories)} with readable memory")
print(f"attack: files of secrets: {len(files)}")
print(f"attack: tokens of Kubernetes: {sum(read(root + TOKEN) is not None for root in roots)}")
print(f"attack: environments and arguments with credentials: {sum(WORD in (text or b'') for text in texts)}")
print(f"attack: memories with credentials: {sum(each is True for each in memories)}")
print("attack: taking mounts away works:", "yes" if os.system("umount /proc/1/root/" + SECRETS + " 2>/dev/null") == 0 else "no")
print("network: the metadata service of clouds", answers("http://169.254.169.254/latest/meta-data/"))
print("network: the Kubernetes API, without a token,", answers(f"https://{os.environ['CLUSTER_HOST']}:6443/api"))
