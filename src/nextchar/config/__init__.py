"""Settings: every one by group, and the way from conf/ and typed words to checked settings.

May import errors and messages; pydantic; Hydra and OmegaConf in compose.py alone. conf/ holds values, this wing types,
ranges, help and rules. Read in this order:

- fields.py            the base class `Settings`, and the line that refuses a wrong value
- NAME_settings.py     the groups: data, model, smoothing, optim, trainer, sweep; the commands. train_settings.py has
                       all settings of a run; the rules between groups stand beside the groups
- compose.py           typed words -> Hydra -> `Settings`; groups.py lists the options, quoting.py protects free text
- diagnose.py          the line that a wrong word gets
"""
