"""Cli: the command line. The only wing that prints.

    argv -> main: which command -> parse: flags, settings, operands -> NAME_command.run -> tables, notes, exit code

May import all other wings. Only here is rich imported. Nothing costly is imported before argv has been checked, so that
--help and a refusal take less than half a second.

Start with `main.main`, the door of `nextchar`, `python -m nextchar` and scripts/; then module by module:

- commands.py: the list of commands
- main.py: chooses the command, and turns its end into an exit code
- parse.py: reads argv; help.py: --help
- {train,sweep,evaluate,sample,explain,export,compare,bench}_command.py: one command each; sweep is train -m
- tables.py: tables of losses, sweeps, explanations and comparisons
- terminal_progress.py: spinners, bars and the result of a run
- printing.py: text and JSON on stdout, notes on stderr
"""
