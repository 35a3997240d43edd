"""The optimizers."""

import torch

from nextchar.config.optim_settings import Adam, AdamW, Lbfgs, Sgd
from nextchar.config.train_settings import TrainSettings
from nextchar.models.nets.net import Net


def make_optimizer(settings: TrainSettings, net: Net) -> torch.optim.Optimizer:
    """Returns the optimizer of the settings, for the net's parameters."""
    # foreach=False is torch's own choice for the CPU, which it would make again at every step
    match settings.optim:
        case Sgd(lr=lr, momentum=momentum):
            return torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, foreach=False)
        case Adam(lr=lr, beta1=beta1, beta2=beta2):
            return torch.optim.Adam(net.parameters(), lr=lr, betas=(beta1, beta2), foreach=False)
        case AdamW(lr=lr, beta1=beta1, beta2=beta2, weight_decay=decay):
            betas = (beta1, beta2)
            return torch.optim.AdamW(net.parameters(), lr=lr, betas=betas, weight_decay=decay, foreach=False)
        case Lbfgs(lr=lr, history_size=history):
            return torch.optim.LBFGS(
                net.parameters(),
                lr=lr,
                history_size=history,
                tolerance_grad=1e-12,
                tolerance_change=1e-16,
                line_search_fn="strong_wolfe",
            )
    raise AssertionError(f"no optimizer for {settings.optim}")


def optimizer_tensors(settings: TrainSettings) -> int:
    """Returns how many tensors of the size of the weights the optimizer keeps."""
    match settings.optim:
        case Sgd(momentum=momentum):
            return int(momentum > 0)
        case Lbfgs(history_size=history):
            return 2 * history + 4  # steps and changes of the gradient; the last gradient and points of the search
    return 2  # running means of the gradient and of its square
