"""On which kind of file system is a folder, and do other machines see it?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil

NETWORK = tuple("nfs lustre gpfs beegfs ceph cifs smb glusterfs panfs wekafs afs virtiofs 9p fuse daos".split())
"""What the types of file systems begin with that several machines share."""


def file_system(folder: Path) -> str:
    """The type of the file system that a folder, or the nearest one above it that exists, is on."""
    existing = next(f for f in (folder, *folder.parents) if f.exists()).resolve()
    mounts: Mapping[Path, str] = {Path(p.mountpoint): p.fstype for p in psutil.disk_partitions(all=True)}
    return next((mounts[f] for f in (existing, *existing.parents) if f in mounts), "unknown")
