"""Other vendors' files of bars, made into a folder of recordings that the Alpaca sandbox serves.

`run.import_files` is the whole of it: each file is recognised by what is in it (`formats/`, a module a vendor), read in
pieces, checked row by row, and merged into the folder. docs/how-to/import.md lists the formats.
"""
