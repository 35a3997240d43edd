"""Config: every setting by group, and the way from key=value words to checked settings.

    words -> quoting -> Hydra composes conf/ -> plain values -> pydantic checks -> TrainSettings

May import errors, messages and rng only. Only compose.py imports Hydra and OmegaConf.

Start with `compose.command_of` (words -> settings) and `fields.Settings` (the base class); then module by module:

- compose.py: composes conf/ and the words, and refuses wrong ones in one line
- diagnose.py: finds the wrong word of a refused command line; runs on failure only
- recorded.py: settings that a folder holds: an address counts only where the user typed it or conf/ has it
- quoting.py: keeps free text and paths as typed in Hydra's grammar
- fields.py: the base and the types of all settings, their descriptions, the groups of conf/, and the refusal of a value
- {data,model,smoothing,optim,trainer}_settings.py: one group each, with the rules between it and other groups
- train_settings.py: all groups of a run together, and a sweep over several
- command_settings.py: the commands that use finished runs

A new model, smoothing method or optimizer: its class in its group's module, and conf/GROUP/NAME.yaml.
"""
