"""A training run between PyTorch and adamant: model and optimizer in one safetensors file.

    import pytorch_exchange
    pytorch_exchange.save("run.safetensors", model, optimizer)   # for adamant to resume
    pytorch_exchange.load("run.safetensors", model, optimizer)   # resumes in PyTorch

On adamant's side:

    let state = load_safetensors("run.safetensors")?;
    net.load_state_dict(&state.part("model"))?;
    adam.load_state_dict(&state.part("optimizer"))?;

    let mut state = StateDict::new();
    state.insert_part("model", net.state_dict());
    state.insert_part("optimizer", adam.state_dict());
    save_safetensors(&state, "run.safetensors")?;

Both sides build the model and the optimizer, with the same groups, before loading. The names:

    model.NAME                                 PyTorch's name of a parameter or buffer
    optimizer.optimizer                        "Adam" (AdamW too) or "Sgd"
    optimizer.groups                           the number of groups
    optimizer.groups.G.lr                      and beta1, beta2, eps, weight_decay, amsgrad, maximize,
                                               decoupled_weight_decay, momentum, dampening, nesterov
    optimizer.groups.G.base_lr                 PyTorch's initial_lr, if there is a schedule
    optimizer.groups.G.params                  the number of the group's parameters
    optimizer.groups.G.params.I.name           the model's name of the parameter
    optimizer.groups.G.params.I.step           and exp_avg, exp_avg_sq, max_exp_avg_sq or
                                               momentum_buffer; absent before its first step

Tensors are the file's tensors; scalars, booleans and strings are a JSON object in its metadata,
under the key "adamant".

Needs: pip install torch safetensors
"""

import json
import os

import torch
from safetensors import safe_open
from safetensors.torch import save_file

ADAM = {"lr": float, "eps": float, "weight_decay": float, "amsgrad": bool, "maximize": bool}
SGD = {
    "lr": float, "momentum": float, "dampening": float, "weight_decay": float, "nesterov": bool, "maximize": bool,
}
STATE = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"]


def kind(optimizer):
    """adamant's name of the optimizer, and its hyperparameters."""
    if isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
        return "Adam", ADAM
    if isinstance(optimizer, torch.optim.SGD):
        return "Sgd", SGD
    raise TypeError(f"found {type(optimizer).__name__}, expected Adam, AdamW or SGD")


def is_decoupled(optimizer, group):
    return bool(group.get("decoupled_weight_decay", isinstance(optimizer, torch.optim.AdamW)))


def save(path, model, optimizer=None):
    """Writes the state of both, for adamant to load."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    others = {}
    if optimizer is not None:
        name, hyperparameters = kind(optimizer)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        others |= {"optimizer.optimizer": name, "optimizer.groups": len(optimizer.param_groups)}
        for g, group in enumerate(optimizer.param_groups):
            prefix = f"optimizer.groups.{g}"
            others |= {f"{prefix}.{key}": convert(group[key]) for key, convert in hyperparameters.items()}
            if name == "Adam":
                others |= {f"{prefix}.beta{i + 1}": float(beta) for i, beta in enumerate(group["betas"])}
                others[f"{prefix}.decoupled_weight_decay"] = is_decoupled(optimizer, group)
            if "initial_lr" in group:
                others[f"{prefix}.base_lr"] = float(group["initial_lr"])
            others[f"{prefix}.params"] = len(group["params"])
            for i, parameter in enumerate(group["params"]):
                prefix_i = f"{prefix}.params.{i}"
                if id(parameter) not in names:
                    raise ValueError(f"`{prefix_i}`: found a parameter that is not the model's")
                others[f"{prefix_i}.name"] = names[id(parameter)]
                state = {key: x for key, x in optimizer.state.get(parameter, {}).items() if x is not None}
                if state:
                    # SGD does not count its steps; any value above 0 marks a parameter with state.
                    others[f"{prefix_i}.step"] = int(state.get("step", 1))
                    tensors |= {f"{prefix_i}.{key}": state[key] for key in STATE if key in state}
    # Tensors that share memory (tied weights) become copies; adamant checks that they are equal.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # Written next to the file, then renamed: the file is never incomplete.
    save_file(tensors, f"{path}.tmp", {"adamant": json.dumps(others, allow_nan=False)})
    os.replace(f"{path}.tmp", path)


def load(path, model, optimizer=None):
    """Loads a state that adamant saved: all of it, or raises an error that names the mismatch."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        others = json.loads((file.metadata() or {}).get("adamant", "{}"))
    weights = {name.removeprefix("model."): x for name, x in tensors.items() if name.startswith("model.")}
    # A tied weight is saved once, under its first name.
    first = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        source = first.setdefault(id(parameter), name)
        if source in weights:
            weights.setdefault(name, weights[source])
    ours = model.state_dict()
    expect("the model's names", sorted(weights), sorted(ours))
    for name, tensor in ours.items():
        expect(f"model.{name}", kind_of(weights[name]), kind_of(tensor))
    state = optimizer_state(tensors, others, model, optimizer) if optimizer is not None else None
    if optimizer is not None:
        optimizer.load_state_dict(state)
    model.load_state_dict(weights)


def optimizer_state(tensors, others, model, optimizer):
    """The optimizer's state from the file, checked, for its load_state_dict."""

    def other(name):
        if name not in others:
            raise ValueError(f"`{name}`: missing")
        return others[name]

    name, hyperparameters = kind(optimizer)
    expect("optimizer.optimizer", other("optimizer.optimizer"), name)
    expect("optimizer.groups", other("optimizer.groups"), len(optimizer.param_groups))
    state = {"state": {}, "param_groups": []}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    index = 0
    for g, group in enumerate(optimizer.param_groups):
        prefix = f"optimizer.groups.{g}"
        expect(f"{prefix}.params", other(f"{prefix}.params"), len(group["params"]))
        saved = {key: value for key, value in group.items() if key != "params"}
        saved |= {key: other(f"{prefix}.{key}") for key in hyperparameters}
        if name == "Adam":
            saved["betas"] = (other(f"{prefix}.beta1"), other(f"{prefix}.beta2"))
            if others.get(f"{prefix}.amsgrad_corrected"):
                raise ValueError(f"`{prefix}`: amsgrad_corrected is true; PyTorch does not have this option")
            decoupled = others.get(f"{prefix}.decoupled_weight_decay", False)
            if isinstance(optimizer, torch.optim.AdamW) or "decoupled_weight_decay" not in group:
                expect(f"{prefix}.decoupled_weight_decay", decoupled, is_decoupled(optimizer, group))
            else:
                saved["decoupled_weight_decay"] = decoupled
        if f"{prefix}.base_lr" in others:
            saved["initial_lr"] = others[f"{prefix}.base_lr"]
        saved["params"] = list(range(index, index + len(group["params"])))
        state["param_groups"].append(saved)

        # By name if the file has names, else by position.
        keys = [others.get(f"{prefix}.params.{i}.name", i) for i in range(len(group["params"]))]
        for i, parameter in enumerate(group["params"]):
            key = names.get(id(parameter)) if isinstance(keys[0], str) else i
            if key not in keys:
                raise ValueError(f"`{prefix}.params`: no parameter `{key}`")
            prefix_i = f"{prefix}.params.{keys.index(key)}"
            entries = {key: tensors[f"{prefix_i}.{key}"] for key in STATE if f"{prefix_i}.{key}" in tensors}
            for key, tensor in entries.items():
                expect(f"{prefix_i}.{key}", kind_of(tensor), kind_of(parameter))
            if name == "Adam" and (entries or f"{prefix_i}.step" in others):
                wanted = {"exp_avg", "exp_avg_sq"} | ({"max_exp_avg_sq"} & set(entries))
                expect(f"the moments of {prefix_i}", sorted(entries), sorted(wanted))
                entries["step"] = torch.tensor(float(other(f"{prefix_i}.step")))
            if entries:
                state["state"][index + i] = entries
        index += len(group["params"])
    return state


def kind_of(tensor):
    return f"{tensor.dtype} {list(tensor.shape)}"


def expect(name, found, expected):
    if found != expected:
        raise ValueError(f"`{name}`: found {found}, expected {expected}")
