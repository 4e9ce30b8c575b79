"""Would a study run here, before it begins: memory, disk, hours, files, versions. `python -m gemvg_repro.preflight`"""
