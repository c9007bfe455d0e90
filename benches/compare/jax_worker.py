"""JAX's side of the comparison: `jax_worker.py call|scan`.

`call` calls a jitted step from a Python loop; `scan` runs the loop itself inside one `lax.scan`.
XLA uses all cores. Images are `[N, H, W, C]`, its fastest order on a CPU.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

import mnist
import worker

SCAN = sys.argv[1] == "scan"


class Keys:
    """An endless supply of random keys."""

    def __init__(self, key):
        self.key = key

    def __call__(self):
        self.key, key = random.split(self.key)
        return key


def adam(params, grads, state, decay=0.0, lr=1e-3, b1=0.9, b2=0.999, eps=1e-8):
    m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
    v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
    rate, root = lr / (1 - b1**t), jnp.sqrt(1 - b2**t)
    update = lambda p, m, v: p * (1 - lr * decay) - rate * m / (jnp.sqrt(v) / root + eps)
    return jax.tree.map(update, params, m, v), (m, v, t)


def zeros(params):
    return jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params), jnp.float32(0)


def stepper(loss, decay=0.0):
    """A step `carry, batch → carry`, for `loss(params, stats, key, batch) → loss, stats`."""

    def step(carry, batch):
        params, stats, state, key = carry
        key, draw = random.split(key)
        grads, stats = jax.grad(loss, has_aux=True)(params, stats, draw, batch)
        params, state = adam(params, grads, state, decay)
        return (params, stats, state, key), None

    return step


def training(params, stats, loss, batch, decay=0.0, steps=1, scanned=10):
    """Steps on one batch: `steps` calls, or one scan of `scanned` steps."""
    step, carry = stepper(loss, decay), [(params, stats, zeros(params), random.key(0))]
    if SCAN:
        loop = lambda carry, batch: lax.scan(lambda c, _: step(c, batch), carry, None, scanned)[0]
    else:
        loop = lambda carry, batch: step(carry, batch)[0]
    loop, calls, units = jax.jit(loop, donate_argnums=0), 1 if SCAN else steps, scanned if SCAN else steps

    def run():
        for _ in range(calls):
            carry[0] = loop(carry[0], batch)
        jax.block_until_ready(carry[0])
        return units

    return run


def epoch(params, loss, batch):
    """An epoch of MNIST in a new order; the last partial batch is dropped."""
    inputs, targets = map(jnp.asarray, mnist.train())
    rng, step, carry = np.random.default_rng(0), stepper(loss), [(params, (), zeros(params), random.key(0))]
    one = lambda carry, inputs, targets, i: step(carry, (inputs[i], targets[i]))[0]
    every = lambda carry, x, y, order: lax.scan(lambda c, i: step(c, (x[i], y[i])), carry, order)[0]
    loop = jax.jit(every if SCAN else one, donate_argnums=0)

    def run():
        order = rng.permutation(len(inputs))[: len(inputs) // batch * batch].reshape(-1, batch)
        for chosen in [order] if SCAN else order:
            carry[0] = loop(carry[0], inputs, targets, chosen)
        jax.block_until_ready(carry[0])

    return run


def cross_entropy(scores, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), targets[:, None], 1).mean()


def classifier(forward):
    """The loss of a net without statistics: `forward(params, x, key)`."""
    return lambda params, stats, key, batch: (cross_entropy(forward(params, batch[0], key), batch[1]), stats)


def classes(n, below):
    return jnp.arange(n) * 7 % below


# Layers.


def dense(keys, before, after):
    bound = before**-0.5
    weight = random.uniform(keys(), (before, after), minval=-bound, maxval=bound)
    return {"w": weight, "b": random.uniform(keys(), (after,), minval=-bound, maxval=bound)}


def linear(p, x):
    return x @ p["w"] + p["b"]


def kernel(keys, size, before, after):
    return random.normal(keys(), (size, size, before, after)) * (2 / (size * size * before)) ** 0.5


def conv(x, w, stride=1, padding=0):
    dims = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (stride, stride), [(padding, padding)] * 2, dimension_numbers=dims)


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def dropout(key, x, p):
    return jnp.where(random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)


def perceptron(keys, widths):
    return [dense(keys, before, after) for before, after in zip(widths, widths[1:])]


def forward_perceptron(params, x, key=None):
    for p in params[:-1]:
        x = jax.nn.relu(linear(p, x))
    return linear(params[-1], x)


def layer_norm(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * p["w"] + p["b"]


def norm_params(width):
    return {"w": jnp.ones(width), "b": jnp.zeros(width)}


# Works; works.rs and models.rs define the same.


def resnet18(sizes):
    keys, size = Keys(random.key(0)), sizes.number("size")
    normed = lambda k, i, o: {"conv": kernel(keys, k, i, o), **norm_params(o)}
    params, strides, before = [normed(3, 3, 64)], [], 64
    for channels, first in [(64, 1), (128, 2), (256, 2), (512, 2)]:
        for stride in [first, 1]:
            params += [normed(3, before, channels), normed(3, channels, channels)]
            shortcut = stride != 1 or before != channels
            params += [normed(1, before, channels)] if shortcut else []
            strides.append((stride, shortcut))
            before = channels
    stats = [(jnp.zeros(p["w"].shape), jnp.ones(p["w"].shape)) for p in params]

    def loss(params, stats, key, batch):
        layers, after = iter(zip(params[:-1], stats)), []

        def normed(x, stride, padding):
            p, (running_mean, running_var) = next(layers)
            x = conv(x, p["conv"], stride, padding)
            mean = x.mean((0, 1, 2))
            var = ((x - mean) ** 2).mean((0, 1, 2))
            n = x.size / x.shape[-1]
            after.append((0.9 * running_mean + 0.1 * mean, 0.9 * running_var + 0.1 * var * n / (n - 1)))
            return (x - mean) * lax.rsqrt(var + 1e-5) * p["w"] + p["b"]

        x = jax.nn.relu(normed(batch[0], 1, 1))
        for stride, shortcut in strides:
            h = normed(jax.nn.relu(normed(x, stride, 1)), 1, 1)
            x = jax.nn.relu(h + (normed(x, stride, 0) if shortcut else x))
        return cross_entropy(linear(params[-1], x.mean((1, 2))), batch[1]), after

    n = sizes.number("batch")
    batch = random.normal(keys(), (n, size, size, 3)), classes(n, 10)
    return training(params + [dense(keys, 512, 10)], stats, loss, batch)


def mnist_cnn(sizes):
    keys, n = Keys(random.key(0)), sizes.number("batch")
    params = {
        "c1": kernel(keys, 3, 1, 32), "b1": jnp.zeros(32), "c2": kernel(keys, 3, 32, 64), "b2": jnp.zeros(64),
        "fc1": dense(keys, 9216, 128), "fc2": dense(keys, 128, 10),
    }  # fmt: skip

    def forward(p, x, key):
        k1, k2 = random.split(key)
        x = jax.nn.relu(conv(jax.nn.relu(conv(x, p["c1"]) + p["b1"]), p["c2"]) + p["b2"])
        x = dropout(k1, max_pool(x), 0.25).reshape(len(x), -1)
        return linear(p["fc2"], dropout(k2, jax.nn.relu(linear(p["fc1"], x)), 0.5))

    batch = random.normal(keys(), (n, 28, 28, 1)), classes(n, 10)
    return training(params, (), classifier(forward), batch)


def lenet_epoch(sizes):
    keys = Keys(random.key(0))
    params = {
        "c1": kernel(keys, 5, 1, 6), "b1": jnp.zeros(6), "c2": kernel(keys, 5, 6, 16), "b2": jnp.zeros(16),
        "head": perceptron(keys, [400, 120, 84, 10]),
    }  # fmt: skip

    def forward(p, x, key):
        x = max_pool(jax.nn.relu(conv(x.reshape(-1, 28, 28, 1), p["c1"], 1, 2) + p["b1"]))
        x = max_pool(jax.nn.relu(conv(x, p["c2"]) + p["b2"]))
        return forward_perceptron(p["head"], x.reshape(len(x), -1))

    return epoch(params, classifier(forward), sizes.number("batch"))


def perceptron_epoch(sizes):
    params = perceptron(Keys(random.key(0)), sizes.list("widths"))
    return epoch(params, classifier(forward_perceptron), sizes.number("batch"))


def perceptron_step(sizes):
    keys, n, widths = Keys(random.key(0)), sizes.number("batch"), sizes.list("widths")
    batch = random.normal(keys(), (n, widths[0])), classes(n, 10)
    return training(perceptron(keys, widths), (), classifier(forward_perceptron), batch)


def gpt(sizes):
    layers, heads, width, words, context, n = sizes.number(
        "layers", "heads", "width", "words", "context", "batch"
    )
    keys = Keys(random.key(0))
    block = lambda: {
        "n1": norm_params(width), "n2": norm_params(width),
        "project": dense(keys, width, 3 * width), "out": dense(keys, width, width),
        "widen": dense(keys, width, 4 * width), "narrow": dense(keys, 4 * width, width),
    }  # fmt: skip
    params = {
        "characters": random.normal(keys(), (words, width)), "positions": random.normal(keys(), (context, width)),
        "blocks": [block() for _ in range(layers)], "norm": norm_params(width), "head": dense(keys, width, words),
    }  # fmt: skip

    def forward(p, x, key):
        h = p["characters"][x] + p["positions"]
        causal = jnp.tril(jnp.ones((context, context), bool))
        for b in p["blocks"]:
            split = linear(b["project"], layer_norm(b["n1"], h)).reshape(n, context, 3, heads, -1)
            q, k, v = jnp.moveaxis(split, 2, 0)
            scores = jnp.einsum("nqhc,nkhc->nhqk", q, k) * (width // heads) ** -0.5
            seen = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
            h = h + linear(b["out"], jnp.einsum("nhqk,nkhc->nqhc", seen, v).reshape(n, context, width))
            wide = jax.nn.gelu(linear(b["widen"], layer_norm(b["n2"], h)), approximate=False)
            h = h + linear(b["narrow"], wide)
        return linear(p["head"], layer_norm(p["norm"], h)).reshape(-1, words)

    batch = classes(n * context, words).reshape(n, context), classes(n * context, words)
    return training(params, (), classifier(forward), batch, decay=0.01)


def lstm_params(keys, before, hidden):
    return {"x": dense(keys, before, 4 * hidden), "h": dense(keys, hidden, 4 * hidden)}


def forward_lstm(p, x):
    """`[L, N, C] → [L, N, H]`"""
    zero = jnp.zeros((x.shape[1], p["h"]["w"].shape[0]))

    def step(state, x):
        h, c = state
        i, f, g, o = jnp.split(x + linear(p["h"], h), 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return lax.scan(step, (zero, zero), linear(p["x"], x))[1]


def lstm(sizes):
    batch, length, inputs, hidden = sizes.number("batch", "length", "inputs", "hidden")
    keys = Keys(random.key(0))
    params, x = lstm_params(keys, inputs, hidden), random.normal(keys(), (length, batch, inputs))
    gradient = jax.jit(jax.grad(lambda p, x: forward_lstm(p, x).sum(), (0, 1)))
    return calls(lambda: gradient(params, x))


def language_model(sizes):
    batch, length, words, width, layers = sizes.number("batch", "length", "words", "width", "layers")
    keys = Keys(random.key(0))
    params = {
        "words": random.normal(keys(), (words, width)), "head": dense(keys, width, words),
        "lstm": [lstm_params(keys, width, width) for _ in range(layers)],
    }  # fmt: skip

    def forward(p, x, key):
        h = p["words"][x]
        for q, key in zip(p["lstm"], random.split(key, layers)):
            h = forward_lstm(q, dropout(key, h, 0.2))
        return linear(p["head"], dropout(random.fold_in(key, 1), h, 0.2)).reshape(-1, words)

    data = classes(batch * length, words).reshape(length, batch), classes(batch * length, words)
    return training(params, (), classifier(forward), data, scanned=5)


def tiny_step(sizes):
    keys, n = Keys(random.key(0)), sizes.number("batch")
    params = [dense(keys, 2, 16), dense(keys, 16, 2)]
    forward = lambda p, x, key: linear(p[1], jnp.tanh(linear(p[0], x)))
    batch = random.normal(keys(), (n, 2)), classes(n, 2)
    return training(params, (), classifier(forward), batch, steps=100, scanned=1000)


def calls(function, times=1):
    """Calls without a training loop: there is nothing to scan."""
    if SCAN:
        raise ValueError("there is no loop to scan")

    def run():
        for _ in range(times):
            jax.block_until_ready(function())

    return run


def overhead(sizes):
    x = jnp.array([0.1, 0.2, 0.3, 0.4])
    gradient = jax.jit(jax.grad(lambda a, b, c: jnp.tanh(a * b + c).sum(), (0, 1, 2)))
    return calls(lambda: gradient(x, x, x), 100)


def one_sample(sizes):
    keys, widths = Keys(random.key(0)), sizes.list("widths")
    params, sample, run = perceptron(keys, widths), random.uniform(keys(), (1, widths[0])), jax.jit(forward_perceptron)
    return calls(lambda: run(params, sample), 100)


def adam_step(sizes):
    if sizes["amsgrad"] == "true":
        raise ValueError("not written for JAX")
    params = [jnp.ones(sizes.number("elements")) for _ in range(sizes.number("tensors"))]
    grads, step = [x / 3 for x in params], jax.jit(adam, donate_argnums=(0, 2))
    carry = [(params, zeros(params))]

    def run():
        carry[0] = step(carry[0][0], grads, carry[0][1])
        return carry[0]

    return calls(run)


WORKS = {
    "resnet18": resnet18,
    "mnist_cnn": mnist_cnn,
    "perceptron": perceptron_step,
    "lenet_epoch": lenet_epoch,
    "perceptron_epoch": perceptron_epoch,
    "gpt": gpt,
    "lstm": lstm,
    "language_model": language_model,
    "tiny_step": tiny_step,
    "overhead": overhead,
    "one_sample": one_sample,
    "adam": adam_step,
}

if __name__ == "__main__":
    worker.serve(lambda kind, sizes: WORKS[kind](sizes), True)
