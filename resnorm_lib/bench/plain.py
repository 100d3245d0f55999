"""The networks of the library as a textbook writes them: torch alone, one scheme, no option. What ours are timed by."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainBlock(nn.Module):
    """Two convolutions and a shortcut; where the shape changes, every other pixel and zeros (option A)."""

    def __init__(self, reads: int, writes: int) -> None:
        super().__init__()
        self.stride, self.more = writes // reads, writes - reads
        self.conv1 = nn.Conv2d(reads, writes, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(writes)
        self.conv2 = nn.Conv2d(writes, writes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(writes)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return F.relu(x + y)


class PlainResNet20(nn.Module):
    """Images (N, 3, 32, 32) to logits (N, 10): three stages of three blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = (16, 16, 16, 16, 32, 32, 32, 64, 64, 64)
        self.blocks = nn.Sequential(*map(PlainBlock, widths, widths[1:]))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.blocks(x).mean((2, 3)))


class PlainLayer(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out, self.norm1 = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim), nn.LayerNorm(dim)
        self.up, self.down, self.norm2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim), nn.LayerNorm(dim)

    def attention(self, x: Tensor) -> Tensor:
        rows, length, dim = x.shape
        q, k, v = (part.view(rows, length, self.heads, -1).transpose(1, 2) for part in self.qkv(x).split(dim, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(rows, length, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class PlainDecoder(nn.Module):
    """Tokens (N, T) to logits (N, T, vocab_size) of the next token, with the embedding as the last map."""

    def __init__(self, vocab_size: int, dim: int, depth: int, heads: int, context_length: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(vocab_size, dim), nn.Embedding(context_length, dim)
        self.layers = nn.Sequential(*(PlainLayer(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        return F.linear(self.norm(self.layers(x)), self.token.weight)


@torch.no_grad()
def copy_state(ours: nn.Module, plain: nn.Module) -> nn.Module:
    """Give ``plain`` the parameters and running statistics of ``ours``, which stand in the same order."""
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
    return plain
