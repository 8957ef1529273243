"""The drill: break every part that is watched, wait for its alert, fix it, wait until that is resolved.

``python -m drill`` runs on an embedded default of its own with simulated bars. The faults are real:
runs fail, processes are killed, bars are corrupted. What breaks on demand, and is no part of the platform, is in
`definitions`.
"""
