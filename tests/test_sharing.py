"""One array under two names: summed gradients, one step, saved once, read into both halves."""

import json

import numpy as np
import pytest
from model_support import small_batch, small_config, small_pair

from minibert2bert.arrays import sum_shared
from minibert2bert.checkpoints.safetensors_files import read_tensors
from minibert2bert.device import to_device
from minibert2bert.models.bert import BertModel
from minibert2bert.models.config import BertConfig, EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.optimizer import AdamW

QUERY = "encoder.encoder.layer.0.attention.self.query.weight"
TWIN = "decoder.bert.encoder.layer.0.attention.self.query.weight"


@pytest.fixture
def tied():
    return small_pair(tie_encoder_decoder=True)


def test_tied_names_hold_one_array_and_cross_attention_stands_alone(tied):
    parameters = tied.parameters()
    assert parameters[QUERY] is parameters[TWIN]
    assert tied.encoder.parameters()[QUERY.removeprefix("encoder.")] is parameters[TWIN]
    shared = [name for name, array in parameters.items() if name.startswith("encoder.")]
    alone = {id(a) for a in parameters.values()}
    assert len(alone) == len(parameters) - len(shared)


def test_each_name_gets_its_own_gradient_and_they_sum_to_the_shared_one(tied):
    _, backward = tied.loss(**small_batch())
    gradients = backward()
    total = sum_shared(gradients, tied.parameters())[QUERY]
    np.testing.assert_array_equal(total, gradients[QUERY] + gradients[TWIN])
    direction = np.random.default_rng(1).standard_normal(total.shape)
    weight, step = tied.parameters()[QUERY], 1e-6
    weight += step * direction
    more, _ = tied.loss(**small_batch())
    weight -= 2 * step * direction
    less, _ = tied.loss(**small_batch())
    assert (more - less) / (2 * step) == pytest.approx((total * direction).sum(), rel=1e-6)


def test_a_step_keeps_the_halves_one(tied):
    before = tied.parameters()[QUERY].copy()
    _, backward = tied.loss(**small_batch())
    AdamW(tied.parameters(), learning_rate=0.01).step(backward())
    assert (tied.parameters()[QUERY] != before).any()
    assert tied.encoder.parameters()[QUERY.removeprefix("encoder.")] is tied.parameters()[TWIN]


def test_a_tied_model_is_saved_once_and_read_into_both_halves(tied, tmp_path):
    tied.save_pretrained(tmp_path)
    assert not any(name.startswith("encoder.") for name in read_tensors(tmp_path))
    again = EncoderDecoderModel.from_pretrained(tmp_path, dtype="float64")
    assert again.load_report.new == []
    assert again.parameters()[QUERY] is again.parameters()[TWIN]
    batch = small_batch()
    assert float(again.loss(**batch)[0]) == float(tied.loss(**batch)[0])


def test_a_file_with_both_halves_and_the_flag_takes_the_decoders(tmp_path):
    pair = small_pair()
    pair.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tie_encoder_decoder": True}))
    again = EncoderDecoderModel.from_pretrained(tmp_path, dtype="float64")
    np.testing.assert_array_equal(again.parameters()[QUERY], pair.parameters()[TWIN])


def test_moving_a_tied_model_keeps_it_tied(tied):
    moved = to_device(tied.params, "cpu")
    stack = moved["decoder"]["bert"]["encoder"]["layer"]["0"]["attention"]["self"]
    assert (
        moved["encoder"]["encoder"]["layer"]["0"]["attention"]["self"]["query"]["weight"]
        is (stack["query"]["weight"])
    )
    assert tied.to("cpu").parameters()[QUERY] is tied.parameters()[TWIN]


def test_the_pooler_of_a_tied_encoder_stands_alone():
    sizes = {"vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 6}
    half = BertConfig(**sizes, num_attention_heads=2, max_position_embeddings=8)
    config = EncoderDecoderConfig.from_encoder_decoder_configs(half, half, tie_encoder_decoder=True)
    model = EncoderDecoderModel(config, rng=np.random.default_rng(0))
    assert isinstance(model.encoder, BertModel)
    stored = model.stored_parameters(model.parameters())
    assert [n for n in stored if n.startswith("encoder.")] == [
        "encoder.pooler.dense.weight",
        "encoder.pooler.dense.bias",
    ]


def test_halves_of_different_sizes_cannot_be_tied():
    config = EncoderDecoderConfig.from_encoder_decoder_configs(
        small_config(), small_config(hidden_size=12), tie_encoder_decoder=True
    )
    with pytest.raises(ValueError, match="of one type and size"):
        EncoderDecoderModel(config)
