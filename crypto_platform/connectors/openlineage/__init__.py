"""Lineage to a collector or a file: https://openlineage.io. The packages are the extra `lineage`."""
