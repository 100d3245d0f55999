"""States of layers, drawn: to be loaded into an answer by name."""


def linear_state(face, name, reads, writes):
    return {f"{name}.weight": face.normal(writes, reads).float(), f"{name}.bias": face.normal(writes).float()}


def norm_state(face, name, features):
    weight, bias = face.normal(2, features).float()
    return {f"{name}.weight": weight, f"{name}.bias": bias}
