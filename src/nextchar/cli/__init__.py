"""The command line: `nextchar COMMAND`, `python -m nextchar COMMAND` and `python scripts/COMMAND.py`.

The only wing that prints. It may import every other one, and rich. Read in this order:

- main.py                the entry of every command; each way to end has an exit code
- commands.py, help.py   the list of commands, and --help
- parse.py               argv -> flags, key=value words, operands
- NAME_command.py        one module a command: train, sweep (train -m), evaluate, sample, ...
- tables.py, printing.py, terminal_progress.py   results on stdout; notes, progress and errors on stderr
"""
