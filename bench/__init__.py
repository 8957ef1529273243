"""How fast the platform is, hop by hop and beside other tools: `python -m bench --help`."""
