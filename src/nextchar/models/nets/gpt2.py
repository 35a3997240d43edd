"""GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners")."""

from nextchar.models.nets.transformer import Transformer


class GPT2(Transformer):
    """A Transformer whose head is the embedding of the characters again (Press and Wolf 2017): fewer weights.

    Architecture, names of the weights and initialisation are the published ones; so are the sizes, if they are set.
    """

    has_own_head = False
