"""Writing files so that a kill at any moment leaves the old file or the new one, never a part."""

import os
import tempfile
from pathlib import Path


def write_atomically(path, content):
    """Writes a file under a temporary name beside `path`, then renames it.

    Args:
        path (str or Path): The file.
        content (str or bytes or callable): What to write; a callable is given the temporary path and writes itself.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
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
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
