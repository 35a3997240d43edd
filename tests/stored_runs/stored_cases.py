"""The stored commands, by case.

A command is a string, cut into words as a shell does. Its first word is the name of a script. `kill` before it means
that the command is stopped by SIGKILL once a first checkpoint lies in its folder. {out} is the folder of the case,
{data} the folder of the small texts (see stored_texts.py).
"""

import shlex
from dataclasses import dataclass
from functools import cached_property

TRAIN = "train figures=false hydra.run.dir={out}/run"
WORDS = f"{TRAIN} data=lines data.path={{data}}/words.txt"
PROSE = f"{TRAIN} data=text data.path={{data}}/prose.txt"
NET = f"{WORDS} model=nn trainer.max_steps=60 trainer.log_every=20"
ADAMW = "optim=adamw optim.lr=0.1 optim.beta2=0.999 optim.schedule=constant optim.warmup=0 optim.clip=null"
NET_WHOLE = NET.replace("{out}/run", "{out}/whole")  # uninterrupted: a resumed run must equal it
SWEEP = "train -m figures=false hydra.sweep.dir={out}/sweep data=lines data.path={data}/words.txt"
RUN = "run={out}/run"
LONG = "data.batch_size=64 trainer.log_every=5 trainer.max_steps=1500"  # long enough to be stopped halfway
OFTEN = "trainer.checkpoint_seconds=0"


@dataclass(frozen=True)
class Command:
    """One process: a script, its words, and whether it is killed."""

    script: str
    words: list[str]
    is_killed: bool = False


@dataclass(frozen=True)
class Case:
    """Commands that run one after the other. `precision`: bits of gradient descent, None for counting."""

    name: str
    typed: tuple[str, ...]
    precision: int | None = None

    @cached_property
    def commands(self) -> list[Command]:
        return [command(each) for each in self.typed]


def command(typed: str) -> Command:
    first, *words = shlex.split(typed)
    if first == "kill":
        return Command(words[0], words[1:], is_killed=True)
    return Command(first, words)


COUNTED = {
    # orders
    "order_1": [f"{TRAIN} model.order=1"],
    "order_2": [f"{TRAIN} json=true"],
    "order_3": [f"{TRAIN} model.order=3"],
    "order_4": [f"{TRAIN} model.order=4", f"sample {RUN} n=30 batched=true"],
    "order_6": [f"{TRAIN} model.order=6", f"explain {RUN} text=emmanuelle figures=false json=true"],
    "order_12": [f"{WORDS} model.order=12"],
    # smoothing
    "none": [f"{WORDS} model.order=3 smoothing=none"],
    "add_k": [f"{WORDS} model.order=3 smoothing=add_k smoothing.k=0.25"],
    "add_k_tuned": [f"{WORDS} model.order=3 smoothing=add_k smoothing.tune=true"],
    "add_no_k": [f"{WORDS} model.order=2 smoothing=add_k smoothing.k=0"],
    "usual_k": [f"{WORDS} model.order=4 smoothing=usual smoothing.k=0.5"],
    "usual_tuned": [f"{WORDS} model.order=4 smoothing=usual smoothing.tune=true"],
    "jelinek_mercer_order": [f"{WORDS} model.order=4 smoothing=jelinek_mercer smoothing.weights=order"],
    "jelinek_mercer_bucket": [f"{WORDS} model.order=4 smoothing=jelinek_mercer"],
    "witten_bell": [f"{WORDS} model.order=4 smoothing=witten_bell"],
    "absolute_discount": [f"{WORDS} model.order=4 smoothing=absolute_discount"],
    "absolute_discount_given": [f"{WORDS} model.order=3 smoothing=absolute_discount smoothing.discount=0.6"],
    "absolute_discount_tuned": [f"{WORDS} model.order=3 smoothing=absolute_discount smoothing.tune=true"],
    "kneser_ney": [f"{WORDS} model.order=5 smoothing=kneser_ney"],
    "kneser_ney_given": [f"{WORDS} model.order=3 smoothing=kneser_ney smoothing.discount=0.75"],
    "kneser_ney_tuned": [f"{WORDS} model.order=3 smoothing=kneser_ney smoothing.tune=true"],
    "modified_kneser_ney": [f"{WORDS} model.order=5 smoothing=modified_kneser_ney"],
    "modified_kneser_ney_kenlm": [f"{WORDS} model.order=3 smoothing=modified_kneser_ney smoothing.base=kenlm"],
    "modified_kneser_ney_tuned": [f"{WORDS} model.order=3 smoothing=modified_kneser_ney smoothing.tune=true"],
    "modified_kneser_ney_of_few": [
        f"{TRAIN} data=lines data.path={{data}}/few.txt data.split=all model.order=4 smoothing=modified_kneser_ney"
    ],
    "katz": [f"{WORDS} model.order=4 smoothing=katz"],
    "stupid_backoff": [f"{WORDS} model.order=4 smoothing=stupid_backoff smoothing.alpha=0.3"],
    "dirichlet": [f"{WORDS} model.order=4 smoothing=dirichlet smoothing.concentration=3"],
    "dirichlet_tuned": [f"{WORDS} model.order=3 smoothing=dirichlet smoothing.tune=true"],
    "pitman_yor": [f"{WORDS} model.order=4 smoothing=pitman_yor"],
    "pitman_yor_given": [
        f"{WORDS} model.order=3 smoothing=pitman_yor smoothing.discount=0.7 smoothing.concentration=2"
    ],
    "pitman_yor_tuned": [f"{WORDS} model.order=3 smoothing=pitman_yor smoothing.tune=true"],
    # pruning
    "prune": [f"{WORDS} model.order=4 model.prune=[0,0,1] smoothing=modified_kneser_ney", f"evaluate {RUN} json=true"],
    "prune_more": [f"{WORDS} model.order=5 model.prune=[0,1,2,3] smoothing=witten_bell"],
    "prune_kneser_ney_tuned": [f"{WORDS} model.order=4 model.prune=[0,0,1] smoothing=kneser_ney smoothing.tune=true"],
    "prune_entropy": [f"{WORDS} model.order=4 model.prune_entropy=1e-5"],
    "prune_both": [f"{WORDS} model.order=4 model.prune=[0,0,1] model.prune_entropy=1e-6 smoothing=absolute_discount"],
    # splits
    "split_lecture": [f"{WORDS} data.split=lecture model.order=3"],
    "split_makemore": [f"{WORDS} data.split=makemore data.val=200 model.order=3"],
    "split_makemore_without_val": [f"{WORDS} data.split=makemore model.order=2"],
    "split_contiguous_lines": [f"{WORDS} data.split=contiguous"],
    "split_all": [f"{WORDS} data.split=all model.order=3 smoothing=jelinek_mercer"],
    "split_all_text": [f"{PROSE} data.split=all model.order=4"],
    "dedup": [f"{WORDS} data.dedup=before_split data.split=lecture model.order=3"],
    "dedup_hash": [f"{WORDS} data.dedup=before_split model.order=3"],
    # texts
    "running_text": [
        f"{PROSE} model.order=5",
        f"sample {RUN} n=3 max_chars=80",
        f"sample {RUN} n=3 max_chars=80 batched=true prefix=em",
        f"evaluate {RUN} data=text data.path={{data}}/other_prose.txt json=true",
        f"explain {RUN} text='anna, ' figures=false json=true",
    ],
    "running_text_bigram": [f"{PROSE} seed=5"],
    "running_text_of_files": [f"{TRAIN} data=text data.path={{data}}/folder model.order=4"],
    "unknown_left_out": [
        f"{TRAIN} data=lines data.path={{data}}/rare.txt data.unk=skip model.order=3",
        f"evaluate {RUN} data=lines data.path={{data}}/scripts.txt data.unk=skip json=true",
    ],
    "latin_1": [f"{TRAIN} data=lines data.path={{data}}/latin1.txt data.encoding=latin-1 model.order=3"],
    "utf_16": [f"{TRAIN} data=lines data.path={{data}}/utf16.txt data.encoding=utf-16 model.order=3"],
    "utf_8": [f"{TRAIN} data=lines data.path={{data}}/accented.txt model.order=3"],
    "byte_order_mark": [f"{TRAIN} data=lines data.path={{data}}/bom.txt"],
    "many_scripts": [f"{TRAIN} data=lines data.path={{data}}/scripts.txt data.unk=skip model.order=3"],
    "many_scripts_as_text": [f"{TRAIN} data=text data.path={{data}}/scripts.txt data.split=all model.order=3"],
    "nfc": [f"{TRAIN} data=lines data.path={{data}}/scripts.txt data.unk=skip data.normalize=nfc model.order=3"],
    "nfkc": [
        f"{TRAIN} data=lines data.path={{data}}/scripts.txt data.unk=skip data.normalize=nfkc model.order=3",
        f"sample {RUN} n=5 prefix=ａｅ",
    ],
    "crlf": [f"{TRAIN} data=lines data.path={{data}}/crlf.txt model.order=3"],
    "crlf_as_text": [f"{TRAIN} data=text data.path={{data}}/crlf.txt model.order=3"],
    "empty_lines": [f"{TRAIN} data=lines data.path={{data}}/gaps.txt data.unk=skip model.order=3"],
    "one_letter": [f"{TRAIN} data=lines data.path={{data}}/one_letter.txt data.split=all model.order=3"],
    "folder": [f"{TRAIN} data=lines data.path={{data}}/folder model.order=3"],
    "folder_lecture": [f"{TRAIN} data=lines data.path={{data}}/folder data.split=lecture model.order=3"],
    "pattern": [f"{TRAIN} data=lines 'data.path={{data}}/folder/*.txt' data.dedup=before_split model.order=3"],
    "gz": [f"{TRAIN} data=lines data.path={{data}}/words.txt.gz model.order=3"],
    # experiments, on the embedded names: no download
    "lecture_count": [f"{TRAIN} experiment=lecture_count data=names"],
    "lecture_unsmoothed": [f"{TRAIN} experiment=lecture_unsmoothed data=names"],
    "lecture_split": [f"{TRAIN} experiment=lecture_split data=names"],
    "makemore_split": [f"{TRAIN} experiment=makemore_split data=names"],
    # commands on a run
    "figures_bigram": [f"{WORDS} figures=true"],
    "figures_order_4": [f"{WORDS} figures=true model.order=4"],
    "sampled": [
        f"{TRAIN} model.order=5",
        f"sample {RUN} n=20",
        f"sample {RUN} n=20 seed=3 temperature=0.7 top_k=5",
        f"sample {RUN} n=20 top_p=0.9 prefix=em json=true",
        f"sample {RUN} n=20 novel=true json=true",
        f"sample {RUN} n=100 batched=true novel=true temperature=1.3 json=true",
        f"sample {RUN} n=2 temperature=0 batched=true max_chars=7",
    ],
    "explained": [
        f"{TRAIN} model.order=4 smoothing=witten_bell",
        f"explain {RUN} text=emma figures=false json=true",
        f"explain {RUN} text=emma out={{out}}/emma.png",
        f"explain {RUN} text= figures=false json=true",
    ],
    "explained_scores": [
        f"{WORDS} model.order=3 smoothing=stupid_backoff",
        f"explain {RUN} text=banana figures=false json=true",
    ],
    "evaluated": [
        f"{WORDS} model.order=3",
        f"evaluate {RUN} json=true",
        f"evaluate {RUN}",
        f"evaluate {RUN} data=lines data.path={{data}}/other_words.txt json=true",
        f"evaluate {RUN} data=lines data.path={{data}}/names.txt data.split=hash data.unk=skip json=true",
    ],
    "evaluated_unsmoothed": [
        f"{WORDS} model.order=3 smoothing=none",
        f"evaluate {RUN} data=lines data.path={{data}}/other_words.txt json=true",
    ],
    "exported": [
        f"{WORDS} model.order=3 smoothing=modified_kneser_ney",
        f"export {RUN} out={{out}}/model.arpa.gz json=true",
        "train figures=false hydra.run.dir={out}/read data=lines data.path={data}/words.txt"
        " model=arpa model.path={out}/model.arpa.gz",
        "sample run={out}/read n=10 json=true",
        "explain run={out}/read text=banana figures=false json=true",
        "export run={out}/read out={out}/again.arpa",
    ],
    "exported_pruned": [
        f"{WORDS} model.order=4 model.prune_entropy=1e-5 smoothing=pitman_yor",
        f"export {RUN} out={{out}}/model.arpa",
    ],
    "exported_katz": [f"{WORDS} model.order=3 smoothing=katz", f"export {RUN} out={{out}}/model.arpa"],
    "exported_add_k": [f"{WORDS} model.order=3 smoothing=add_k", f"export {RUN} out={{out}}/model.arpa"],
    "arpa_of_other_text": [
        f"{PROSE} model.order=3",
        f"export {RUN} out={{out}}/model.arpa",
        "train figures=false hydra.run.dir={out}/read data=text data.path={data}/other_prose.txt data.split=all"
        " data.unk=skip model=arpa model.path={out}/model.arpa",
    ],
    "compared": [
        f"{WORDS} model.order=3",
        "train figures=false hydra.run.dir={out}/second data=lines data.path={data}/words.txt model.order=2",
        "compare {out}/run {out}/second out={out}/compare json=true",
    ],
    # sweeps
    "sweep_of_orders": [
        f"{SWEEP} model.order=2,3 smoothing=witten_bell,kneser_ney",
        "compare {out}/sweep out={out}/compare json=true",
    ],
    "sweep_by_two_jobs": [f"{SWEEP} model.order=2,3 seed=1,2 hydra/launcher=joblib hydra.launcher.n_jobs=2"],
    "sweep_of_one": [SWEEP],
    "sweep_planned": [f"{SWEEP} model.order=2,3 sweep.dry_run=true"],
    "search_k": [f"{SWEEP} sweep=search_k sweep.n_trials=4"],
    "search_random": [
        f"{SWEEP} sweep=optuna sweep.n_trials=5 sweep.sampler=random sweep.seed=3 sweep.metric=test/loss"
        " model.order=2,3,4 'smoothing.k=interval(0.1,2)'"
    ],
    "search_gone_on_with": [
        f"{SWEEP} sweep=optuna sweep.n_trials=2 'smoothing.k=interval(0.1,2)'",
        "train -m sweep.resume={out}/sweep sweep.n_trials=4",
    ],
}

DESCENDED = {
    "sgd": [f"{TRAIN} model=nn trainer.max_steps=60 trainer.log_every=20"],
    "sgd_momentum": [f"{NET} optim.momentum=0.9 optim.lr=2 smoothing=add_k smoothing.k=0.5 data.merge=false"],
    "adam_in_batches": [f"{NET} optim=adam data.batch_size=100 optim.beta1=0.8"],
    "adamw_l2": [f"{NET} {ADAMW} data.batch_size=100 smoothing=l2 optim.weight_decay=0.1"],
    "lbfgs": [f"{NET} optim=lbfgs smoothing=add_k trainer.max_steps=30"],
    "no_steps": [f"{NET} model.init=zeros trainer.max_steps=0"],
    "net_of_text": [f"{PROSE} model=nn data.batch_size=500 trainer.max_steps=40 seed=3"],
    "net_of_many_scripts": [
        f"{TRAIN} model=nn data=lines data.path={{data}}/scripts.txt data.unk=skip data.split=lecture"
        " trainer.max_steps=40 optim=adam"
    ],
    "lecture_net": [f"{TRAIN} experiment=lecture_net data=names trainer.max_steps=50"],
    "figures_net": [f"{NET} figures=true"],
    "net_used": [
        f"{NET} data.split=all",
        f"evaluate {RUN} data=lines data.path={{data}}/other_words.txt json=true",
        f"sample {RUN} n=10 batched=true top_k=8",
        f"explain {RUN} text=banana figures=false json=true",
        f"export {RUN} out={{out}}/model.arpa",
        "train resume={out}/run",
    ],
    "diverged": [f"{NET} optim.lr=1e30"],
    "diverged_slowly": [f"{NET} optim=adam optim.lr=50 trainer.max_steps=400 data.batch_size=5"],
    "two_processes": [f"{NET} trainer=ddp trainer.devices=2 trainer.max_steps=30"],
    "killed": [
        f"kill {NET} {LONG} {OFTEN}",
        "train resume={out}/run",
        f"{NET_WHOLE} {LONG}",
    ],
    "sweep_of_models": [
        f"{SWEEP} model=count,nn seed=1,2",
        "compare {out}/sweep out={out}/compare json=true",
    ],
    "sweep_of_rates": [f"{SWEEP} model=nn optim=sgd,adam optim.lr=0.5,5 trainer.max_steps=40 trainer.log_every=20"],
    "sweep_with_a_failure": [
        f"{SWEEP} model=nn optim.lr=10,1e30 trainer.max_steps=40",
        "train -m sweep.resume={out}/sweep",
    ],
    "sweep_killed": [
        f"kill {SWEEP} model=nn seed=1,2 {LONG} {OFTEN}",
        "train -m sweep.resume={out}/sweep",
    ],
    "search_of_rates": [
        f"{SWEEP} model=nn sweep=optuna sweep.n_trials=8 sweep.seed=1 trainer.max_steps=60 trainer.log_every=5"
        " 'optim.lr=tag(log,interval(0.1,100))' optim=sgd,adam"
    ],
}

DESCENDED_IN_64_BITS = {
    "sgd_64": [f"{NET} trainer.precision=64 model.init=zeros optim.lr=30"],
    "adamw_64_in_batches": [
        f"{NET} trainer.precision=64 {ADAMW} optim.weight_decay=0.01 data.batch_size=64 data.merge=true"
    ],
    "counted_by_descent": [f"{WORDS} experiment=counted_by_descent trainer.max_steps=60"],
    "net_from_zeros": [f"{TRAIN} experiment=net_from_zeros data=names trainer.max_steps=60"],
}

REFUSED = {
    "wrong_key": [f"{WORDS} smoothing.kk=1"],
    "wrong_option": [f"{WORDS} model=gpt"],
    "wrong_order": [f"{WORDS} model.order=0"],
    "wrong_seed": [f"{WORDS} seed=abc"],
    "wrong_word": [f"{WORDS} hello"],
    "wrong_encoding": [f"{TRAIN} data=lines data.path={{data}}/latin1.txt"],
    "unknown_encoding": [f"{WORDS} data.encoding=utf-7000"],
    "missing_file": [f"{TRAIN} data=lines data.path={{data}}/missing.txt"],
    "no_file_named": [f"{TRAIN} data=lines"],
    "url": [f"{TRAIN} data=lines data.path=https://example.com/names.txt"],
    "empty_file": [f"{TRAIN} data=lines data.path={{data}}/empty.txt"],
    "too_few_lines": [f"{TRAIN} data=lines data.path={{data}}/few.txt data.split=makemore"],
    "unknown_character": [f"{TRAIN} data=lines data.path={{data}}/rare.txt"],
    "path_of_names": [f"{TRAIN} data=names data.path={{data}}/words.txt"],
    "trainer_of_counts": [f"{WORDS} trainer.max_steps=10"],
    "katz_of_a_net": [f"{WORDS} model=nn smoothing=katz"],
    "tuned_net": [f"{WORDS} model=nn smoothing=add_k smoothing.tune=true"],
    "pruned_add_k": [f"{WORDS} model.order=3 model.prune=[0,0,1] smoothing=add_k"],
    "falling_prune": [f"{WORDS} model.order=3 model.prune=[0,2,1]"],
    "hash_of_a_text": [f"{PROSE} data.split=hash"],
    "dedup_of_a_text": [f"{PROSE} data.dedup=before_split"],
    "val_of_hash": [f"{WORDS} data.val=100"],
    "tuned_without_val": [f"{WORDS} data.split=makemore model.order=3 smoothing.tune=true"],
    "lbfgs_in_batches": [f"{WORDS} model=nn optim=lbfgs data.batch_size=10"],
    "lbfgs_of_two_processes": [f"{WORDS} model=nn optim=lbfgs trainer=ddp"],
    "infinite_rate": [f"{WORDS} model=nn optim.lr=1e39"],
    "arpa_missing": [f"{WORDS} model=arpa model.path={{data}}/missing.arpa"],
    "arpa_without_path": [f"{WORDS} model=arpa"],
    "no_arpa": [f"{WORDS} model=arpa model.path={{data}}/no_arpa.txt"],
    "resume_missing": ["train resume={out}/run"],
    "resume_finished": [WORDS, "train resume={out}/run"],
    "folder_taken": [WORDS, WORDS],
    "comma_without_sweep": [f"{WORDS} model.order=2,3"],
    "range_in_a_grid": [f"{SWEEP} 'smoothing.k=interval(0.1,1)'"],
    "sweep_with_one_wrong_job": [f"{SWEEP} model.order=2,99"],
    "sweep_resume_missing": ["train -m sweep.resume={out}/sweep"],
    "sample_of_no_run": ["sample run={data}"],
    "sample_of_missing": ["sample run={out}/run"],
    "evaluate_without_run": ["evaluate"],
    "compare_of_no_runs": ["compare {data} out={out}/compare"],
    "compare_of_missing": ["compare {out}/run out={out}/compare"],
    "use_refused": [
        WORDS,
        f"sample {RUN} prefix=@",
        f"sample {RUN} top_p=1.5",
        f"explain {RUN} text=b@n figures=false",
        f"explain {RUN} figures=false",
        f"evaluate {RUN} data=lines data.path={{data}}/scripts.txt",
        f"export {RUN} format=onnx out={{out}}/model.onnx",
        f"export {RUN} out={{out}}/missing/model.arpa",
    ],
    "other_splits_compared": [
        WORDS,
        "train figures=false hydra.run.dir={out}/second data=lines data.path={data}/words.txt data.split=lecture",
        "compare {out}/run {out}/second out={out}/compare",
    ],
}


def _cases(typed: dict[str, list[str]], precision: int | None, kind: str = "") -> list[Case]:
    return [Case(kind + name, tuple(each), precision) for name, each in typed.items()]


CASES = [
    *_cases(DESCENDED, 32),
    *_cases(DESCENDED_IN_64_BITS, 64),
    *_cases(COUNTED, None),
    *_cases(REFUSED, None, "refused_"),
]
