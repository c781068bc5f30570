"""Names of files become names of models, by rules, and the report says what happened."""

import numpy as np
import pytest

from minibert2bert.checkpoints.names import canonical_names, fit_heads, match


def zeros(*names, shape=(2,)):
    return {name: np.zeros(shape) for name in names}


@pytest.mark.parametrize(
    ("file", "model"),
    [
        ("encoder.layer.0.x.weight", "bert.encoder.layer.0.x.weight"),
        ("bert.encoder.layer.0.x.weight", "encoder.layer.0.x.weight"),
        ("embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        ("bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
    ],
)
def test_base_prefix_and_old_layer_norm_names(file, model):
    assert list(canonical_names(zeros(file), {model: (2,)}, "bert")) == [model]


def test_a_gamma_elsewhere_keeps_its_name():
    assert list(canonical_names(zeros("gamma.weight", "x.beta"), {})) == ["gamma.weight", "x.beta"]


def test_buffers_are_left_out_and_biases_of_the_same_ending_are_not():
    buffers = [
        "embeddings.position_ids",
        "encoder.embeddings.token_type_ids",
        "h.0.attn.bias",
        "h.0.attn.masked_bias",
        "h.0.crossattention.bias",
    ]
    kept = ["h.0.attn.c_attn.bias", "h.0.crossattention.c_attn.bias", "attention.self.key.bias"]
    assert list(canonical_names(zeros(*buffers, *kept), {})) == kept


def test_a_tied_head_drops_copies_of_the_embeddings_and_of_its_bias():
    tensors = zeros("bert.embeddings.word_embeddings.weight", "lm_head.decoder.weight")
    tensors |= zeros("lm_head.bias", "lm_head.decoder.bias")
    expected = {"bert.embeddings.word_embeddings.weight": (2,), "lm_head.bias": (2,)}
    assert set(fit_heads(tensors, expected)) == set(expected)


def test_a_head_that_differs_from_the_embeddings_of_a_tied_model_is_reported():
    expected = {"embeddings.word_embeddings.weight": (2,), "lm_head.bias": (2,)}
    tensors = {**zeros(*expected), "lm_head.decoder.weight": np.ones(2)}
    _, report = match(fit_heads(tensors, expected), expected)
    assert report.unexpected == ["lm_head.decoder.weight"]


def test_whole_parts_that_a_model_lacks_are_not_unexpected():
    spare = ["pooler.dense.weight", "cls.seq_relationship.bias", "bert.pooler.dense.bias"]
    _, report = match(zeros("a", *spare, "lm_head.bias", "other"), {"a": (2,)})
    assert report.unexpected == ["other"]


@pytest.mark.parametrize("prefix", ["", "decoder."])
def test_an_untied_head_takes_the_inner_bias_and_else_the_outer(prefix):
    expected = {f"{prefix}lm_head.decoder.weight": (2,), f"{prefix}lm_head.decoder.bias": (2,)}
    version_4 = {f"{prefix}lm_head.decoder.weight": np.ones(2), f"{prefix}lm_head.bias": np.ones(2)}
    fitted = fit_heads(version_4, expected)
    assert set(fitted) == set(expected)
    version_5 = {**version_4, f"{prefix}lm_head.decoder.bias": np.full(2, 7.0)}
    assert fit_heads(version_5, expected)[f"{prefix}lm_head.decoder.bias"][0] == 7


def test_the_report_lists_loaded_new_and_unexpected():
    loaded, report = match(zeros("a", "c"), {"a": (2,), "b": (3,)})
    assert list(loaded) == report.loaded == ["a"]
    assert report.new == ["b"]
    assert report.unexpected == ["c"]
    assert "new: 1 (b)" in str(report)


def test_a_shape_that_differs_is_an_error_or_by_request_a_new_tensor():
    with pytest.raises(ValueError, match=r"a is \(2,\) in the file, \(3,\) by the config"):
        match(zeros("a", "b"), {"a": (3,), "b": (2,)})
    _, report = match(zeros("a", "b"), {"a": (3,), "b": (2,)}, ignore_mismatched_sizes=True)
    assert report.new == ["a"]


def test_files_of_another_architecture_are_an_error_that_shows_both_sides():
    with pytest.raises(ValueError, match=r"the model has 1 \(a\), the file 1 \(z\)"):
        match(zeros("z"), {"a": (2,)})


@pytest.mark.parametrize("embeddings", ["", "encoder.bert.embeddings.word_embeddings.weight"])
def test_a_tied_head_without_embeddings_is_the_embeddings(embeddings):
    words = "decoder.bert.embeddings.word_embeddings.weight"
    tensors = {"decoder.lm_head.decoder.weight": np.ones(2)} | zeros(*filter(None, [embeddings]))
    fitted = fit_heads(tensors, dict.fromkeys(filter(None, [embeddings, words]), (2,)))
    np.testing.assert_array_equal(fitted[words], np.ones(2))
    assert "decoder.lm_head.decoder.weight" not in fitted


def test_a_head_is_compared_with_its_own_embeddings_not_with_the_encoders():
    words = "{}.embeddings.word_embeddings.weight"
    tensors = zeros(words.format("encoder")) | {words.format("decoder.bert"): np.ones(2)}
    tensors |= zeros("decoder.lm_head.decoder.weight")
    expected = {words.format("encoder"): (2,), words.format("decoder.bert"): (2,)}
    assert "decoder.lm_head.decoder.weight" in fit_heads(tensors, expected)


def test_the_inner_bias_counts_in_a_tied_head_too():
    tensors = {"lm_head.bias": np.full(2, 2.0), "lm_head.decoder.bias": np.full(2, 5.0)}
    fitted = fit_heads(tensors, {"lm_head.bias": (2,)})
    assert list(fitted) == ["lm_head.bias"]
    assert fitted["lm_head.bias"][0] == 5


def test_a_head_that_fits_does_not_make_another_architecture_fit():
    tensors = zeros("roberta.embeddings.word_embeddings.weight", "lm_head.bias")
    expected = {"bert.embeddings.word_embeddings.weight": (2,), "lm_head.bias": (2,)}
    with pytest.raises(ValueError, match=r"model has 1 \(bert.*the file 2 \(roberta"):
        canonical_names(tensors, expected, "bert")


def test_two_tensors_of_the_same_name_are_an_error():
    with pytest.raises(ValueError, match=r"two tensors of the file are called bert\.x"):
        canonical_names(zeros("x", "bert.x"), {"bert.x": (2,)}, "bert")
