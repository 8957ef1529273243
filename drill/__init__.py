"""The drill: break every part that is watched, see it told, mend it, see that told, too.

``python -m drill`` runs on an embedded default of its own with simulated bars. The faults are real:
runs fail, processes are killed, bars are corrupted. What breaks on demand, and is no part of the platform, is in
`definitions`.
"""
