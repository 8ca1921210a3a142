"""The commands of `polygon-assets`, one module per group; each calls the part that does the work.

Add a command to the module of its group, and a new group to `polygon_assets.cli`; logic belongs to
the part that the command calls. Imports are inside the commands, so that `--help` and each stream
program load only what they use: above all `local`, whose extra production does not install.
"""
