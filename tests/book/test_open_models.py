"""The table of open models: every cell has its source, agrees with the table of real networks, and with the package."""

import importlib.metadata
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from book._ext import open_models, real_models
from tests.book.sources import ROOT

ROWS = open_models.load()
REAL = {row["name"]: row for row in real_models.load()}
LINES = [column for column in open_models.COLUMNS if column != "eps"]  # each links to a line of code
VERSION = real_models.TRANSFORMERS.split("/v")[1].split("/")[0]
ORDERS = {"pre": "NANM", "sandwich": "NANNMN", "after the branch": "ANMN"}  # norm, attention, feed-forward
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])


@each_row
def test_a_row_fills_every_column_with_a_source(row):
    assert set(row) == {"name", "folder", *open_models.COLUMNS}
    for column in LINES:
        says, kind, line, code = row[column]
        assert says
        assert code
        assert kind in ("modeling", "configuration")
        assert line > 0


@each_row
def test_eps_is_what_a_checkpoint_says(row):
    says, checkpoint, configuration, _ = row["eps"]
    assert re.fullmatch(r"[\w-]+/[\w.-]+", checkpoint)
    assert re.fullmatch(r'"\w*norm_eps(ilon)?": .*', configuration)
    assert float(says) == float(configuration.split(": ")[1])


def test_the_networks_stand_in_the_order_of_the_table_of_real_networks():
    names = [row["name"] for row in ROWS]
    assert names == [name for name in REAL if name in names]


def test_the_chapter_names_those_whose_class_has_another_default():
    """A configuration class without arguments builds another norm than the checkpoint has."""
    others = {row["name"] for row in ROWS if float(row["eps"][0]) != float(row["eps"][3])}
    assert others == {"Llama 2", "Llama 3", "OLMo 2"}
    chapter = (ROOT / "chapters/transformer_block_by_block.ipynb").read_text(encoding="utf-8")
    assert "Llama 2, Llama 3 and OLMo 2" in chapter


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
    assert all(line.count("#L") == len(LINES) for line in lines[2:])
    assert all(line.count("/config.json") == 1 for line in lines[2:])


@pytest.mark.skipif(find_spec("transformers") is None, reason="the transformers package is not installed")
class TestThePackage:
    @each_row
    def test_the_line_that_a_cell_links_to_says_so(self, row):
        if importlib.metadata.version("transformers") != VERSION:
            pytest.skip(f"the table links to version {VERSION}")
        models = Path(find_spec("transformers").origin).parent / "models"
        for column in LINES:
            path, line = open_models.source(row["folder"], row[column])
            assert row[column][3] in (models / path).read_text(encoding="utf-8").splitlines()[line - 1]

    @each_row
    def test_the_class_of_the_configuration_has_this_default(self, row):
        config = configuration(row["folder"])
        name = row["eps"][2].split('"')[1]
        assert getattr(config, name) == float(row["eps"][3])

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


def configuration(folder):
    """Return the configuration of a folder of transformers with its defaults."""
    import transformers

    return transformers.CONFIG_MAPPING["gemma3_text" if folder == "gemma3" else folder]()


def tiny(folder):
    """Return a model of two layers, with the configuration's defaults for all but the sizes."""
    import transformers

    config = configuration(folder)
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
