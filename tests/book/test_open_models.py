"""The table of open models: every cell has its source, agrees with the table of real networks, and with the package."""

import importlib.metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from book._ext import open_models, real_models

ROWS = open_models.load()
REAL = {row["name"]: row for row in real_models.load()}
VERSION = real_models.TRANSFORMERS.split("/v")[1].split("/")[0]
ORDERS = {"pre": "NANM", "sandwich": "NANNMN", "after the branch": "ANMN"}  # norm, attention, feed-forward
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])


@each_row
def test_a_row_fills_every_column_with_a_source(row):
    assert set(row) == {"name", "folder", *open_models.COLUMNS}
    for column in open_models.COLUMNS:
        says, kind, line, code = row[column]
        assert says
        assert code
        assert kind in ("modeling", "configuration")
        assert line > 0


@each_row
def test_it_says_what_the_table_of_real_networks_says(row):
    real = REAL[row["name"]]
    assert row["folder"] == real["code"]
    assert row["eps"][0] == str(real["eps"])
    assert row["norm"][0].startswith("RMSNorm" if real["norm"].startswith("RMSNorm") else "LayerNorm")
    assert ("1 + w" in row["norm"][0]) == ("1 + w" in real["norm"])
    assert row["placement"][0].startswith(real["placement"])
    assert ("RMSNorm" in row["queries and keys"][0]) == (real["qk"] != "no")


def test_the_table_has_a_line_for_each_network_and_a_link_in_each_cell():
    lines = open_models.table(ROWS).splitlines()
    assert len(lines) == len(ROWS) + 2
    assert all(line.count("#L") == len(open_models.COLUMNS) for line in lines[2:])


@pytest.mark.skipif(find_spec("transformers") is None, reason="the transformers package is not installed")
class TestThePackage:
    @each_row
    def test_the_line_that_a_cell_links_to_says_so(self, row):
        if importlib.metadata.version("transformers") != VERSION:
            pytest.skip(f"the table links to version {VERSION}")
        models = Path(find_spec("transformers").origin).parent / "models"
        for column in open_models.COLUMNS:
            path, line = open_models.source(row["folder"], row[column])
            assert row[column][3] in (models / path).read_text(encoding="utf-8").splitlines()[line - 1]

    @each_row
    def test_a_tiny_model_has_the_norms_where_the_table_says(self, row):
        model = tiny(row["folder"])
        (layer,) = (module for name, module in model.named_modules() if name.endswith((".layers.1", ".h.1")))
        steps = []
        for module in layer.children():
            kind = type(module).__name__
            letter = "N" if "Norm" in kind else "A" if "Attention" in kind else "M"
            module.register_forward_hook(lambda *_, letter=letter: steps.append(letter))
        import torch

        model(torch.arange(5)[None])
        assert "".join(steps) == ORDERS[row["placement"][0]]
        inside = sum("Norm" in type(module).__name__ for module in layer.modules()) - steps.count("N")
        assert inside == (2 if "RMSNorm" in row["queries and keys"][0] else 0)
        assert any("Norm" in type(module).__name__ for name, module in model.named_modules() if name.count(".") == 1)


def tiny(folder):
    """Return a model of two layers, with the configuration's defaults for all but the sizes."""
    import transformers

    config = transformers.CONFIG_MAPPING["gemma3_text" if folder == "gemma3" else folder]()
    sizes = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 4 if folder == "deepseek_v3" else 2, "head_dim": 4, "intermediate_size": 8}
    if folder == "deepseek_v3":
        sizes |= {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 4}
        sizes |= {"moe_intermediate_size": 8, "n_routed_experts": 8, "num_local_experts": 8}
    if folder == "gpt_oss":
        sizes |= {"num_local_experts": 2, "num_experts_per_tok": 1}
    for size, value in sizes.items():
        setattr(config, size, value)
    for name in ("layer_types", "pad_token_id"):
        if getattr(config, name, None) is not None:
            setattr(config, name, config.layer_types[:2] if name == "layer_types" else 0)
    return transformers.AutoModelForCausalLM.from_config(config)
