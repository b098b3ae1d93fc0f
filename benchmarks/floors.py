"""Physical floors: the least work that gives the same bytes, in plain Python, without any safety.

python floors.py STEP SOURCE TARGET SECONDS   writes the seconds into the file SECONDS
"""

from __future__ import annotations

import os
import sys
import time


def files(root: str) -> list[str]:
    """List every file below a folder."""
    found = []
    stack = [root]
    while stack:
        with os.scandir(stack.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    stack.append(item.path)
                else:
                    found.append(item.path)
    return found


def walk(source: str, target: str) -> None:
    """Scandir and lstat of everything."""
    stack = [source]
    while stack:
        with os.scandir(stack.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    stack.append(item.path)
                else:
                    item.stat(follow_symlinks=False)


def pack(source: str, target: str) -> None:
    """Read, BLAKE3, append to one file, flush."""
    import blake3

    with open(target, "wb") as out:
        for path in files(source):
            with open(path, "rb", 0) as stream:
                data = stream.read()
            blake3.blake3(data).hexdigest()
            out.write(data)
        out.flush()
        os.fsync(out.fileno())


def copy(source: str, target: str) -> None:
    """Read and write every file."""
    for folder, _, names in os.walk(source):
        below = target + folder[len(source) :]
        os.mkdir(below)
        for name in names:
            with open(f"{folder}/{name}", "rb", 0) as stream:
                data = stream.read()
            fd = os.open(f"{below}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, data)
            os.close(fd)


def hash_large(source: str, target: str) -> None:
    """BLAKE3 of one file on every core."""
    import blake3

    blake3.blake3(max_threads=blake3.blake3.AUTO).update_mmap(source).hexdigest()


def hash_and_copy(source: str, target: str, *, flush: bool = False) -> None:
    """One read that hashes (every core) and copies."""
    import blake3

    hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
    buffer = memoryview(bytearray(8 << 20))
    with open(source, "rb", 0) as stream, open(target, "wb", 0) as out:
        while count := stream.readinto(buffer):
            hasher.update(buffer[:count])
            out.write(buffer[:count])
        if flush:
            os.fsync(out.fileno())


def hash_and_copy_flushed(source: str, target: str) -> None:
    """The same, flushed."""
    hash_and_copy(source, target, flush=True)


def copy_range(source: str, target: str) -> None:
    """copy_file_range: the kernel's own copy."""
    with open(source, "rb", 0) as stream, open(target, "wb", 0) as out:
        left = os.fstat(stream.fileno()).st_size
        while left:
            left -= os.copy_file_range(stream.fileno(), out.fileno(), left)


def shells(source: str, target: str) -> None:
    """Run each line of a file by /bin/sh in the folder `target`, one after the other."""
    with open(source) as stream:
        commands = stream.read().splitlines()
    os.chdir(target)
    for command in commands:
        child = os.posix_spawn("/bin/sh", ["/bin/sh", "-c", command], os.environ)
        if os.waitpid(child, 0)[1]:
            sys.exit(f"failed: {command}")


def main() -> None:
    """Time one step."""
    step, source, target, result = sys.argv[1:]
    import blake3  # noqa: F401 - its loading is not part of the work

    started = time.perf_counter()
    globals()[step](source, target)
    seconds = time.perf_counter() - started
    with open(result, "w") as out:
        out.write(str(seconds))


if __name__ == "__main__":
    main()
