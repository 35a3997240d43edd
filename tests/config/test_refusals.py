"""A word that fits no setting is refused in one line: key, value, what is allowed, and the nearest valid name."""

import pytest

from nextchar.config.compose import command_of
from nextchar.config.train_settings import TrainCommand
from nextchar.errors import BadInput
from nextchar.sweeps import plan as multirun

ONLY = (
    ": of Hydra's settings only hydra.run.dir or hydra.sweep.dir can be set "
    "(and, in a sweep, hydra/launcher with its settings)"
)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("optim.lrr=1", "optim.lrr=1: there is no setting optim.lrr. Did you mean optim.lr?"),
        ("model=nn optim.lrr=1", "optim.lrr=1: there is no setting optim.lrr. Did you mean optim.lr?"),
        ("+optim.lrr=1", "optim.lrr=1: there is no setting optim.lrr. Did you mean optim.lr?"),
        ("model=nn +optim.lrr=1", "optim.lrr=1: there is no setting optim.lrr. Did you mean optim.lr?"),
        ("optm.lr=1", "optm.lr=1: there is no setting optm.lr. Did you mean optim.lr?"),
        ("sede=1", "sede=1: there is no setting sede. Did you mean seed?"),
        ("zzz=1", "zzz=1: there is no setting zzz. There are seed, figures, json, resume."),
        (
            "model=nnn",
            "model=nnn: must be arpa, count, gpt2, gru, lstm, mlp, nn, rnn, transformer or wavenet. Did you mean nn?",
        ),
        ("model=null", "model=null: must be arpa, count, gpt2, gru, lstm, mlp, nn, rnn, transformer or wavenet."),
        ("model=nn optim=null", "optim=null: must be adam, adamw, lbfgs or sgd."),
        (
            "smoothing=addk",
            "smoothing=addk: must be absolute_discount, add_k, dirichlet, jelinek_mercer, katz, kneser_ney, "
            "l2, modified_kneser_ney, none, pitman_yor, stupid_backoff, usual or witten_bell. Did you mean add_k?",
        ),
        ("model=count optim.lr=15", "optim.lr=15: model=count has no group optim"),
        ("model=count +optim.lr=15", "optim.lr=15: model=count has no group optim"),
        ("model=count optim=adam", "optim=adam: model=count has no group optim"),
        ("trainer.max_steps=4", "trainer.max_steps=4: model=count has no group trainer"),
        ("smoothing.strength=1", "smoothing.strength=1: smoothing=usual has no strength; smoothing=l2 has"),
        ("model=nn optim.beta1=0.5", "optim.beta1=0.5: optim=sgd has no beta1; optim=adam or optim=adamw has"),
        ("model.prune=3", "model.prune=3: must be a list of whole numbers."),
        (
            "model.prune=[1]",
            "model.prune=[1]: must start with 0 and never decrease, as in [0,0,1]",
        ),
        (
            "smoothing=jelinek_mercer data.split=makemore",
            "smoothing=jelinek_mercer is fitted on val, and data.split=makemore has no val; set data.val=1000",
        ),
        (
            "model.order=3 model.prune=[0,1] smoothing=katz",
            "model.prune=[0, 1]: smoothing=katz gives pruned n-grams no probability from the lower orders; "
            "choose modified_kneser_ney or another method that does",
        ),
        (
            "smoothing=l2",
            "smoothing=l2 does not work with model=count, which takes none, add_k, dirichlet, pitman_yor, "
            "jelinek_mercer, witten_bell, stupid_backoff, absolute_discount, kneser_ney, modified_kneser_ney or katz",
        ),
        ("smoothing.k=-1", "smoothing.k=-1: must be a number of at least 0."),
        ("smoothing.k=nan", "smoothing.k=nan: must be a number of at least 0."),
        ("smoothing.k=inf", "smoothing.k=inf: must be a number of at least 0."),
        ("smoothing.k=1e300", "smoothing.k=1e+300: must be at most 1e+12"),
        ("smoothing.k=abc", "smoothing.k=abc: must be a number of at least 0."),
        ("smoothing.k=", "smoothing.k=: must be a number of at least 0."),
        ("smoothing.k=[1,2]", "smoothing.k=[1, 2]: must be a number of at least 0."),
        ("smoothing.k=true", "smoothing.k=true: must be a number of at least 0."),
        ("smoothing.k=1,2", "smoothing.k=1,2: several values; add -m to sweep"),
        ("seed=1.5", "seed=1.5: must be a whole number of at least 0."),
        ("seed=4294967296", "seed=4294967296: must be at most 4294967295"),
        ("seed={a:1}", "seed={...}: must be a whole number of at least 0."),
        ("model=nn trainer.threads=999", "trainer.threads=999: must be a whole number from 1 to 256."),
        ("model=nn data.batch_size=0", "data.batch_size=0: must be all or a whole number of at least 1."),
        ("figures=1", "figures=1: must be true or false."),
        ("data.split=hahs", "data.split=hahs: must be hash, lecture, makemore, contiguous or all. Did you mean hash?"),
        ("data.encoding=rot13", "data.encoding=rot13: rot13 does not decode bytes to text"),
        ("data.sha256=abc", "data.sha256=abc: must be 64 hexadecimal digits or null."),
        ("data=lines", "data.path is missing: data=lines reads your file; set data.path=FILE"),
        ("data.url=x", "data.url=x has no effect with data=names, which is not downloaded"),
        ("modle=nn", "modle=nn: there is no group modle. Did you mean model?"),
        ("hydra.verbose=true", f"hydra.verbose{ONLY}"),
        ("experiment=lecture_net model=count", "optim.lr=50: the model that was chosen takes no optim"),
        ("data=lines data.path=", "data.path=: must be a path or null."),
        ("resume=http://x/y", "resume=http://x/y: must be a path; download the URL first"),
        ("model.name=nn", "model.name=nn: set model=nn instead, which also loads its settings"),
        ("hydra.run.dri=x", f"hydra.run.dri{ONLY}"),
        ("seed", "'seed' is not key=value (no spaces around the '=')."),
        ("=1", "'=1' is not key=value (no spaces around the '=')."),
        ("help", "'help' is not key=value (no spaces around the '='). For help: --help"),
        ("seed==1", "seed==1: Hydra's grammar cannot read this value; put it in quotes"),
        ("smoothing.k=[1", "smoothing.k=[1: Hydra's grammar cannot read this value; put it in quotes"),
        ("~smoothing", "~smoothing: a setting cannot be deleted; choose another option, as in smoothing=none"),
        ("seed=${nope}", "Interpolation key 'nope' not found"),
    ],
)
def test_refusals(argv: str, says: str, refusal) -> None:
    assert refusal(*argv.split()) == says


def test_combinations_without_effect(refusal) -> None:
    assert "belongs to data.split=makemore" in refusal("data.val=3")
    assert "optim=lbfgs needs the full batch" in refusal("model=nn", "optim=lbfgs", "data.batch_size=32")
    assert "data.merge=false has no effect with model=count" in refusal("data.merge=false")
    assert "data.path=/x has no effect with data=names; for your own file: data=lines" in refusal("data.path=/x")
    assert "is one running text" in refusal("data=text", "data.path=x", "data.split=hash")


@pytest.mark.parametrize("command", ["evaluate", "sample", "explain"])
def test_what_is_missing_is_named(command: str, refusal) -> None:
    assert refusal(command=command) == "run is missing; set run=... (the run folder)"


def test_a_sweep_is_refused_for_its_first_wrong_job() -> None:
    command = command_of("train", TrainCommand, ["smoothing.k=1,-2,3", "seed=1,2"], multirun=True)
    with pytest.raises(BadInput, match=r"smoothing\.k=-2: must be a number of at least 0"):
        multirun.plan(command)
