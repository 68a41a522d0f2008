"""Networks as a user would write them, for tests that name them by their paths."""

from torch import nn


class NoSuper(nn.Module):
    """It doesn't call the constructor of its base first."""

    def __init__(self) -> None:
        self.head = nn.Linear(3, 1)
