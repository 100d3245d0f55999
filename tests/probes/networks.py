"""Networks written plainly, the way others write them: nothing here comes from the library."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


class Basic(nn.Module):
    """A block as in torchvision: activations and the addition in place."""

    def __init__(self, reads, writes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(reads, writes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(writes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(writes, writes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(writes)
        self.downsample = None
        if stride > 1 or reads != writes:
            self.downsample = nn.Sequential(nn.Conv2d(reads, writes, 1, stride, bias=False), nn.BatchNorm2d(writes))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ImageNet(nn.Module):
    def __init__(self, widths=(8, 16), blocks=2):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]))
        pairs = [(widths[max(i - 1, 0)], width, i) for i, width in enumerate(widths)]
        self.layers = nn.Sequential(
            *(
                Basic(reads if step == 0 else width, width, 2 if i and step == 0 else 1)
                for reads, width, i in pairs
                for step in range(blocks)
            )
        )
        self.fc = nn.Linear(widths[-1], 5)

    def forward(self, x):
        return self.fc(self.layers(F.relu(self.stem(x))).mean((2, 3)))


class CausalAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.register_buffer("mask", torch.tril(torch.ones(64, 64, dtype=torch.bool)))

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).split(d, dim=2)
        q, k, v = (y.view(n, t, self.heads, d // self.heads).transpose(1, 2) for y in (q, k, v))
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(q.size(-1))
        scores = scores.masked_fill(~self.mask[:t, :t], float("-inf")).softmax(-1)
        return self.out((scores @ v).transpose(1, 2).contiguous().view(n, t, d))


class GPTBlock(nn.Module):
    def __init__(self, dim, heads, parallel=False):
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(dim), CausalAttention(dim, heads), nn.LayerNorm(dim)
        self.up, self.down, self.parallel = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim), parallel

    def mlp(self, x):  # GELU as GPT-2's authors wrote it: it holds a sum that is no residual one
        x = self.up(x)
        return self.down(0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))

    def forward(self, x):
        if self.parallel:
            return x + self.attn(self.ln_1(x)) + self.mlp(self.ln_1(x))
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """GPT-2's shape, with tied weights; ``recompute`` is None, "reentrant" or "plain"."""

    def __init__(self, words=30, dim=16, depth=3, heads=2, recompute=None, parallel=False):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, dim), nn.Embedding(64, dim)
        self.h = nn.ModuleList(GPTBlock(dim, heads, parallel) for _ in range(depth))
        self.ln_f, self.head, self.recompute = nn.LayerNorm(dim), nn.Linear(dim, words, bias=False), recompute
        self.head.weight = self.wte.weight

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]).expand(tokens.shape))
        for block in self.h:
            x = checkpoint(block, x, use_reentrant=self.recompute == "reentrant") if self.recompute else block(x)
        return self.head(self.ln_f(x))


class Rescale(nn.Module):
    """Llama's norm under a name that does not give it away; statistics and weight in float32."""

    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, dim))

    def forward(self, x):
        y = x.float()
        return (self.weight * (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6))).to(x.dtype)


def rotate(x):
    """Rotary positions: a sum of two products of one value, and no residual one."""
    half, t = x.shape[-1] // 2, torch.arange(x.shape[-2], dtype=x.dtype)[:, None]
    angle = t * torch.arange(1, half + 1, dtype=x.dtype)
    cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class LlamaBlock(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.norm1, self.norm2 = heads, Rescale(dim), Rescale(dim)
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(dim, 2 * dim, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * dim, dim, bias=False)

    def forward(self, hidden):
        residual = hidden
        x = self.norm1(hidden)
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        x = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        hidden = residual + self.o(x.transpose(1, 2).flatten(2))
        residual = hidden
        x = self.norm2(hidden)
        return {"hidden": residual + self.down(F.silu(self.gate(x)) * self.up(x))}


class Llama(nn.Module):
    """Blocks that return dicts, a model that returns a tuple."""

    def __init__(self, words=30, dim=16, depth=3, heads=2):
        super().__init__()
        self.embed = nn.Embedding(words, dim)
        self.layers = nn.ModuleList(LlamaBlock(dim, heads) for _ in range(depth))
        self.norm, self.head = Rescale(dim), nn.Linear(dim, words, bias=False)

    def forward(self, input_ids, scale=1.0):
        hidden = scale * self.embed(input_ids)
        for layer in self.layers:
            hidden = layer(hidden)["hidden"]
        return self.head(self.norm(hidden)), {"hidden": hidden, "cache": None}


class Functional(nn.Module):
    """No module but itself: parameters in a list, norms as calls, post-norm."""

    def __init__(self, dim=6, depth=4):
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(dim, dim) / dim**0.5 for _ in range(depth))
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        for weight in self.weights:
            x = F.layer_norm(x + F.linear(F.relu(x), weight), x.shape[-1:], self.gain)
        return x


class Dense(nn.Module):
    """A DenseNet's way: concatenate, never add."""

    def __init__(self, channels=4, growth=3, depth=4):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(channels + i * growth, growth) for i in range(depth))

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, F.relu(layer(x))], 1)
        return x


class LowRank(nn.Module):
    """A linear map with a low-rank adapter beside it, whose sum is no residual one."""

    def __init__(self, reads, writes):
        super().__init__()
        self.base, self.a, self.b = nn.Linear(reads, writes), nn.Linear(reads, 2), nn.Linear(2, writes)

    def forward(self, x):
        return self.base(x) + self.b(self.a(x))


class Block(nn.Module):
    """x + branch(x), for any branch."""

    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return x + self.branch(x)


class Highway(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gate, self.change = nn.Linear(dim, dim), nn.Sequential(nn.Linear(dim, dim), nn.Linear(dim, dim))

    def forward(self, x):
        gate = torch.sigmoid(self.gate(x))
        return (1 - gate) * x + gate * self.change(x)
