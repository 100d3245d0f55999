"""The tables of real networks: every cell has a source or a reason, and agrees with the package that it links to."""

import importlib.metadata
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from book._ext import real_models
from book._ext.real_models import CELLS, OpenModels, RealModels, address, parts
from tests.book.sources import ROOT

ROWS = real_models.load()
OPEN = [row for row in ROWS if "positions" in row]
IMPLEMENTED = [row for row in ROWS if "folder" in row]  # in the transformers package
VERSION = real_models.TRANSFORMERS.split("/v")[1].split("/")[0]
PLACEMENTS = {"post": "FNFN", "pre": "NFNF", "sandwich": "NFNNFN", "after the branch": "FNFN", "inside": "FNF"}
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
each_implemented = pytest.mark.parametrize("row", IMPLEMENTED, ids=lambda row: row["name"])


def says(row, column):
    """Return the text of a cell, without its links."""
    return "; ".join(part[0] for part in parts(row[column]))


@each_row
def test_a_row_fills_every_column_of_its_tables_and_no_other(row):
    columns = {*RealModels.columns, *(OpenModels.columns if row in OPEN else ())}
    assert set(row) - {"folder", "files"} == {"name", "paper", "year"} | columns
    assert parts(row["placement"])[0][0].removesuffix(", one norm for both branches") in PLACEMENTS


@each_row
def test_every_part_of_a_cell_has_a_source_or_says_why_not(row):
    kinds = {*row.get("files", ()), *(("modeling", "configuration") if "folder" in row else ())}
    for part in (part for column in CELLS.keys() & row.keys() for part in parts(row[column])):
        text, kind, *where = part
        if text == "-":
            assert len(kind.split()) > 3  # a reason
            assert not where
        elif kind == "paper":
            assert re.fullmatch(r"\d(\.\d)?", str(where[0]))
        elif kind == "checkpoint":
            assert re.fullmatch(r"[\w-]+/[\w.-]+", where[0])
        else:
            assert kind in kinds
            assert where[0] is None or where[0] > 0
            assert (where[0] is None) == (kind in row.get("files", ()))
            assert where[1].strip()


@each_row
def test_a_file_on_github_is_named_at_a_commit_or_a_version(row):
    for path in row.get("files", {}).values():
        assert re.fullmatch(r"[\w-]+/[\w-]+/blob/([0-9a-f]{40}|v[\d.]+)/[\w/.-]+", path)


@each_row
def test_the_year_is_that_of_the_paper(row):
    if "/" in row["paper"]:
        assert row["name"] in ("GPT-2", "Llama 4")  # their paper is not on arXiv, or there is none
    else:
        assert re.fullmatch(r"\d{4}\.\d{5}", row["paper"])
        assert row["year"] == 2000 + int(row["paper"][:2])


@each_row
def test_eps_is_what_the_source_says(row):
    for text, *source in parts(row["eps"]):
        if source[0] == "checkpoint":
            assert re.fullmatch(r'"\w*norm_eps(ilon)?": .*', source[2])
            assert float(text.split()[0]) == float(source[2].split(": ")[1])
        elif "default" in text and source[0] == "util":
            assert float(text.split(",")[0]) == torch.nn.GroupNorm(32, 32).eps
        elif text != "-":
            assert text.split()[0] in source[2]


def test_networks_stand_once_and_by_year():
    assert [row["year"] for row in ROWS] == sorted(row["year"] for row in ROWS)
    assert len({row["name"] for row in ROWS}) == len(ROWS)


def test_the_chapter_names_those_whose_class_has_another_default():
    """A configuration class without arguments builds another norm than the checkpoint has."""
    others = {row["name"] for row in OPEN if float(row["eps"][0]) != float(row["eps"][4])}
    assert others == {"Llama 2", "Llama 3", "OLMo 2"}
    chapter = (ROOT / "chapters/transformer_block_by_block.ipynb").read_text(encoding="utf-8")
    assert "Llama 2, Llama 3 and OLMo 2" in chapter
    assert len(OPEN) == 10
    assert "has ten of them" in chapter


@pytest.mark.parametrize(("rows", "table"), [(ROWS, RealModels), (OPEN, OpenModels)], ids=["real", "open"])
def test_a_table_has_a_line_for_each_network_and_a_link_or_a_dash_in_each_cell(rows, table):
    lines = real_models.table(rows, table.columns).splitlines()
    assert len(lines) == len(rows) + 2
    for line in lines[2:]:
        name, *cells = line.strip("| ").split(" | ")
        assert "](" not in name
        assert len(cells) == len(table.columns) + 1
        assert all(cell == "-" or re.fullmatch(r"(\[[^]]+\]\(https://[^)\s]+\)(; )?)+", cell) for cell in cells)


def test_a_link_leads_to_the_line_the_checkpoint_or_the_paper():
    def target(name, column):
        (row,) = (row for row in ROWS if row["name"] == name)
        return address(row, parts(row[column])[0])

    assert target("GPT-3", "norm") == "https://arxiv.org/abs/2005.14165"
    assert target("BERT", "eps") == "https://huggingface.co/google-bert/bert-base-uncased/blob/main/config.json"
    assert target("T5", "bias").endswith("/blob/v5.24.0/src/transformers/models/t5/modeling_t5.py#L207")
    assert target("DiT", "eps").startswith("https://github.com/facebookresearch/DiT/blob/")


def test_below_the_table_stands_why_a_cell_is_empty():
    reasons = real_models.missing(ROWS, RealModels.columns)
    assert real_models.table(ROWS, RealModels.columns).count("| - ") == 5
    assert len(reasons) == 2
    assert reasons[0].startswith("GPT-3 (eps), PaLM (eps, final norm, QK-norm): ")
    assert reasons[1] == "ConvNeXt (QK-norm): it has no attention."
    assert real_models.missing(OPEN, OpenModels.columns) == []


@pytest.mark.skipif(find_spec("transformers") is None, reason="the transformers package is not installed")
class TestThePackage:
    @each_implemented
    def test_the_line_that_a_cell_links_to_says_so(self, row):
        if importlib.metadata.version("transformers") != VERSION:
            pytest.skip(f"the table links to version {VERSION}")
        models = Path(find_spec("transformers").origin).parent / "models"
        for column in CELLS.keys() & row.keys():
            for _, kind, *where in parts(row[column]):
                if kind in ("modeling", "configuration"):
                    path = models / real_models.file(row, kind).removeprefix(real_models.TRANSFORMERS)
                    line, code, *_ = where
                    assert code in path.read_text(encoding="utf-8").splitlines()[line - 1], column

    @each_implemented
    def test_the_class_of_the_configuration_has_this_default(self, row):
        for _, kind, _, *rest in parts(row["eps"]):
            if kind == "checkpoint":
                assert getattr(configuration(row["folder"]), rest[0].split('"')[1]) == float(rest[1])

    @each_implemented
    def test_a_tiny_model_has_the_norms_where_the_table_says(self, row):
        model, inputs = tiny(row["folder"])
        steps = trace(model, inputs)
        begin, end = (place for place, (letter, _) in enumerate(steps) if letter == "layer")
        letters = [letter for letter, _ in steps]
        inside, placement = "".join(letters[begin + 1 : end]), parts(row["placement"])[0][0]
        assert re.sub("F+", "F", inside.replace("Q", "")) == PLACEMENTS[placement]
        assert ("Q" in inside) == (not says(row, "qk").startswith(("no", "-")))
        norm = begin + 1 + inside.rindex("N")
        assert torch.equal(steps[end][1], steps[norm][1]) == (placement == "post")
        assert ("N" in letters[end:]) == (says(row, "final") == "yes")

    @each_implemented
    def test_its_linear_maps_have_the_biases_that_the_table_says(self, row):
        model, _ = tiny(row["folder"])
        maps = {name: module for name, module in one_layer(model).named_modules()
                if re.fullmatch(r"Linear|Conv1D|Conv2d", type(module).__name__)}  # fmt: skip
        biased = {name for name, module in maps.items() if module.bias is not None}
        expected = {"yes": set(maps), "no": set()}
        queries = {name for name in maps if re.search(r"[qkv]_proj$", name)}
        assert biased == expected.get(says(row, "bias"), queries)
        assert maps


def trace(model, inputs):
    """Run a model; return its steps with their outputs: N a norm, Q one of queries and keys, F a map with weights.

    The last of the two layers stands between two steps called layer.
    """
    steps, layer = [], one_layer(model)

    def note(letter, module, output):
        steps.append((letter, output[0] if isinstance(output, tuple) else output))

    for name, module in model.named_modules():
        kind = type(module).__name__
        if "Norm" in kind:
            letter = "Q" if re.search(r"(q|k|qk|q_a|kv_a)_(layer)?norm$", name) else "N"
            module.register_forward_hook(lambda module, _, output, letter=letter: note(letter, module, output))
        elif re.fullmatch(r"Linear|Conv1D|Conv2d|\w*Experts", kind):
            module.register_forward_hook(lambda module, _, output: note("F", module, output))
    layer.register_forward_pre_hook(lambda module, _: note("layer", module, None))
    layer.register_forward_hook(lambda module, _, output: note("layer", module, output))
    model(**inputs)
    return steps


def one_layer(model):
    """Return the last of two layers."""
    names = [name for name, _ in model.named_modules() if re.search(r"(layers|layer|h|block)\.1$", name)]
    return model.get_submodule(min(names, key=lambda name: name.count(".")))


def configuration(folder):
    """Return the configuration of a folder of transformers with its defaults."""
    import transformers

    return transformers.CONFIG_MAPPING[f"{folder}_text" if folder in ("gemma3", "llama4") else folder]()


def tiny(folder):
    """Return a model of two layers, with the configuration's defaults for all but the sizes, and inputs for it."""
    import transformers

    config = configuration(folder)
    sizes = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 4 if folder == "deepseek_v3" else 2, "head_dim": 4, "intermediate_size": 8}
    if folder == "deepseek_v3":
        sizes |= {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 4}
        sizes |= {"moe_intermediate_size": 8, "n_routed_experts": 8, "num_local_experts": 8}
    if folder in ("gpt_oss", "llama4"):
        sizes |= {"num_local_experts": 2, "num_experts_per_tok": 1, "intermediate_size_mlp": 8}
    if folder == "t5":
        sizes |= {"d_kv": 4, "d_ff": 8, "num_decoder_layers": 2}
    if folder == "vit":
        sizes |= {"image_size": 16, "patch_size": 8}
    if folder == "convnext":
        sizes = {"hidden_sizes": [16], "depths": [2], "num_stages": 1, "image_size": 16}
    for size, value in sizes.items():
        setattr(config, size, value)
    for name in ("layer_types", "pad_token_id"):
        if getattr(config, name, None) is not None:
            setattr(config, name, config.layer_types[:2] if name == "layer_types" else 0)
    model = transformers.AutoModel.from_config(config).eval()
    if model.main_input_name == "pixel_values":
        return model, {"pixel_values": torch.zeros(1, 3, 16, 16)}
    tokens = torch.arange(5)[None]
    return model, {"input_ids": tokens} | ({"decoder_input_ids": tokens} if folder == "t5" else {})
