"""The command ``pixelpretext``: one file per command, named as the command is.

A file declares ``COMMAND``; :data:`benchmarks.commands.main.GROUPS` lists them. What a command does
stands in the other rooms and is imported when it runs, so that ``--help`` costs nothing.
"""
