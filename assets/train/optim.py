"""Muon (Jordan et al. 2024; scaled to AdamW's step size as Liu et al. 2025, Moonlight) for matrices, AdamW for the rest.
"""

import torch

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices):
    """The nearest semi-orthogonal matrices, roughly: quintic Newton-Schulz on [n, rows, columns], in bfloat16."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = x.shape[-2] > x.shape[-1]
    x = x.transpose(-1, -2) if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        gram = x @ x.transpose(-1, -2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.transpose(-1, -2) if tall else x).float()


class Muon:
    """Matrices of one shape are updated together."""

    def __init__(self, matrices, momentum=0.95, compile=True):
        self.groups, self.momentum = {}, momentum
        for matrix in matrices:
            self.groups.setdefault(tuple(matrix.shape), []).append(matrix)
        self.average = {shape: torch.zeros(len(g), *shape, device=g[0].device) for shape, g in self.groups.items()}
        self.orthogonalise = torch.compile(orthogonalise) if compile else orthogonalise

    @torch.no_grad()
    def step(self, rate, decay):
        for shape, group in self.groups.items():
            gradient = torch.stack([matrix.grad for matrix in group])
            average = self.average[shape]
            average.lerp_(gradient, 1 - self.momentum)
            update = self.orthogonalise(gradient.lerp(average, self.momentum))
            torch._foreach_mul_(group, 1 - rate * decay)
            torch._foreach_add_(group, list(update), alpha=-rate * 0.2 * max(shape)**0.5)


class Optimizer:
    """Muon for the matrices inside the blocks; AdamW for embeddings, output, norms and gates."""

    def __init__(self, model, compile=True):
        inner, other = [], []
        for name, parameter in model.named_parameters():
            is_inner = parameter.ndim == 2 and "embed" not in name and "lm_head" not in name and "gate_preact" not in name
            (inner if is_inner or "ogate" in name and parameter.ndim == 2 else other).append(parameter)
        self.muon = Muon(inner, compile=compile)
        self.adam = torch.optim.AdamW(other, lr=0.0, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0,
                                      **({"fused": True} if other[0].is_cuda else {}))
        self.parameters = inner + other

    def step(self, rate, decay):
        """`rate` is AdamW's learning rate; `decay` the weight decay of the inner matrices."""
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.muon.step(rate, decay)
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()
        for parameter in self.parameters:
            parameter.grad = None
