"""Writing files so that a kill at any moment leaves the old file or the new one, never a part."""

import hashlib
import os
import tempfile
from pathlib import Path

PARTIAL = ".partial-"
CHECKSUM = ".sha256"


def write_atomically(path, content):
    """Writes a file under a temporary name beside `path`, then renames it.

    Args:
        path (str or Path): The file.
        content (str or bytes or callable): What to write; a callable is given the temporary path and writes itself.

    Raises:
        OSError: If the file cannot be written; it names the file, which is as it was before.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{PARTIAL}{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        if callable(content):
            content(Path(temporary))
        elif isinstance(content, bytes):
            Path(temporary).write_bytes(content)
        else:
            Path(temporary).write_text(content, encoding="utf-8")
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None:
            raise
        # A write that finds the disk full does not say which file it was.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def remove_partial_files(directory):
    """Removes what a process that was killed while it wrote has left in `directory`: no other may write there now."""
    for path in Path(directory).glob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)
    for path in Path(directory).glob(f"*{CHECKSUM}"):
        if not path.with_suffix("").exists():
            path.unlink(missing_ok=True)


def write_with_checksum(path, content):
    """Writes bytes atomically, and beside them ``<name>.sha256`` as the `sha256sum` command writes and checks it."""
    path = Path(path)
    # In this order: where the file is, its checksum is too.
    write_atomically(_checksum_of(path), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    try:
        write_atomically(path, content)
    except OSError:
        if not path.exists():
            _checksum_of(path).unlink(missing_ok=True)
        raise


def read_with_checksum(path):
    """Returns the bytes of a file of :func:`write_with_checksum`, or None if it is missing or not as it was written."""
    path = Path(path)
    try:
        content = path.read_bytes()
        written = _checksum_of(path).read_text(encoding="utf-8").split()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return content if written[:1] == [hashlib.sha256(content).hexdigest()] else None


def remove_with_checksum(path):
    """Removes a file of :func:`write_with_checksum`."""
    path = Path(path)
    path.unlink(missing_ok=True)
    _checksum_of(path).unlink(missing_ok=True)


def _checksum_of(path):
    return path.with_name(path.name + CHECKSUM)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
