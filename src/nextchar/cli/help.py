"""--help: the groups of conf/ with their options, and each setting with the values it takes."""

import shutil
import textwrap

from nextchar.config.fields import Setting, Settings, every_setting
from nextchar.config.groups import groups_of, options_of

# What --help says besides of a script that can be swept
OF_A_JOB = {
    "a sweep": "-m model=count,nn seed=1,2 runs four jobs, each in a folder of its own",
    "a search in ranges": "-m sweep=optuna 'smoothing.k=tag(log,interval(0.01,10))'",
    "what a sweep would run": "-m ... sweep.dry_run=true",
    "its unfinished jobs": "-m sweep.resume=DIR",
    "jobs side by side": "-m ... hydra/launcher=joblib hydra.launcher.n_jobs=2",
    "another place for results": "hydra.run.dir=DIR; with -m hydra.sweep.dir=DIR",
    "TAB in bash": 'eval "$(python scripts/train.py -sc install=bash)"',
    "the composed settings": "--cfg job; Hydra's other flags: --hydra-help",
}


def help_text(called_as: str, tree: type[Settings], about: str, job: bool, operands: str = "") -> str:
    """Usage, groups with their options, and every setting with what it takes, folded to the terminal's width."""
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 80), 110)
    groups = groups_of(tree)
    words = ["[-m]"] * job + ["[group=option]"] * bool(groups) + [operands] * bool(operands) + ["[key=value]"]
    lines = [f"usage: {called_as} {' '.join(words)}", "", *textwrap.wrap(about, width), ""]
    if groups:
        lines += ["Groups: an option is a file of conf/GROUP/ and brings the settings that it has.", ""]
        lines += [_entry(group, " | ".join(options_of(group)), width) for group in groups] + [""]
    lines += ["Settings, and in brackets what they take:"]
    rows: dict[str, tuple[Setting, list[str]]] = {}
    for setting in every_setting(tree):
        if not setting.is_name:  # the group chooses it
            rows.setdefault(setting.key, (setting, []))[1].append(setting.option)
    before = None
    for key, (setting, options) in rows.items():
        group = key.rpartition(".")[0]
        lines += [""] * (group != before)
        before = group
        only = f"{group}={'|'.join(options)}: " if any(options) else ""
        lines.append(_entry(key, only + setting.help, width, f"[{setting.allowed}]"))
    if job:
        lines += ["", "Also:", "", *(_entry(what, how, width) for what, how in OF_A_JOB.items())]
    return "\n".join(lines)


def _entry(key: str, text: str, width: int, allowed: str = "") -> str:
    """The key on the left, the text folded beside it, what is allowed behind it or, where it would be cut, below."""
    lines = textwrap.wrap(text, width - 30, break_on_hyphens=False)
    if allowed and lines and len(lines[-1]) + 1 + len(allowed) <= width - 30:
        lines[-1] += f" {allowed}"
    else:
        lines += textwrap.wrap(allowed, width - 30, subsequent_indent=" ")
    return f"  {key:27} " + f"\n{' ' * 30}".join(lines)
