"""--help, made from conf/ and the descriptions of the settings."""

import shutil
import textwrap

from nextchar.config.fields import Settings, every_setting, groups_of, options_of

FOR_SWEEPS = {
    "sweep": "-m model=count,nn seed=1,2 runs four jobs, each in its own folder",
    "search in ranges": "-m sweep=optuna 'smoothing.k=tag(log,interval(0.01,10))'",
    "show the jobs, run none": "-m ... sweep.dry_run=true",
    "resume a sweep": "-m sweep.resume=DIR",
    "jobs in parallel": "-m ... hydra/launcher=joblib hydra.launcher.n_jobs=2",
    "folder of the results": "hydra.run.dir=DIR; with -m hydra.sweep.dir=DIR",
    "TAB completion": 'eval "$({called_as} -sc install=bash)"; also zsh, fish',
    "show the settings": "--cfg job; Hydra's other flags: --hydra-help",
}


def help_text(called_as: str, tree: type[Settings], about: str, can_sweep: bool, operands: str = "") -> str:
    """Returns usage, groups with their options, and every setting with its allowed values, folded to the terminal."""
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 80), 110)
    groups = groups_of(tree)
    words = ["[-m]"] * can_sweep + ["[group=option]"] * bool(groups) + [operands] * bool(operands) + ["[key=value]"]
    lines = [f"usage: {called_as} {' '.join(words)}", "", *textwrap.wrap(about, width), ""]
    if groups:
        lines += ["Groups: an option is a file conf/GROUP/OPTION.yaml and loads its own settings.", ""]
        lines += [_entry(group, " | ".join(options_of(group)), width) for group in groups] + [""]
    lines += ["Settings, with their allowed values in brackets:"]
    settings, before = every_setting(tree), None
    for key, setting in settings.items():
        if setting.is_name:  # group=option sets it
            continue
        group = key.rpartition(".")[0]
        lines += [""] * (group != before)
        before = group
        is_for_some = setting.options and len(setting.options) < len(settings[f"{group}.name"].options)
        only = f"{group}={', '.join(setting.options)}: " if is_for_some else ""
        lines.append(_entry(key, only + setting.help, width, f"[{setting.allowed}]"))
    if can_sweep:
        also = {key: text.format(called_as=called_as.removeprefix("python -m ")) for key, text in FOR_SWEEPS.items()}
        lines += ["", "Also:", "", *(_entry(key, text, width) for key, text in also.items())]
    return "\n".join(lines)


def _entry(key: str, text: str, width: int, allowed: str = "") -> str:
    """The key, the text folded beside it, and the allowed values behind it or, if they do not fit, below it."""
    lines = textwrap.wrap(text, width - 30, break_on_hyphens=False)
    if allowed and lines and len(lines[-1]) + 1 + len(allowed) <= width - 30:
        lines[-1] += f" {allowed}"
    else:
        lines += textwrap.wrap(allowed, width - 30, subsequent_indent=" ")
    return f"  {key:27} " + f"\n{' ' * 30}".join(lines)
