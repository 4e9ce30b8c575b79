"""Which type of file system is a folder on, and is that type shared between machines?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil

NETWORK = tuple("nfs lustre gpfs beegfs ceph cifs smb glusterfs panfs wekafs afs virtiofs 9p fuse daos".split())
"""Prefixes of the types of file systems that several machines share."""


def file_system(folder: Path) -> str:
    """The type of the file system that a folder, or the nearest one above it that exists, is on."""
    existing = next(f for f in (folder, *folder.parents) if f.exists()).resolve()
    mounts: Mapping[Path, str] = {Path(p.mountpoint): p.fstype for p in psutil.disk_partitions(all=True)}
    return next((mounts[f] for f in (existing, *existing.parents) if f in mounts), "unknown")
