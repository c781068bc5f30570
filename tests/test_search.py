import numpy as np
import pytest
from table_model import TableModel

from minibert2bert.generation.beam_sampling import beam_sampling
from minibert2bert.generation.beam_search import beam_search
from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.constrained_beam_search import constrained_beam_search
from minibert2bert.generation.contrastive_search import contrastive_search
from minibert2bert.generation.group_beam_search import group_beam_search
from minibert2bert.generation.sampling import sampling
from minibert2bert.generation.search import SearchState, greedy_search, greedy_step
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import stopping_criteria
from minibert2bert.generation.strategies import generate_ids, strategy

EOS, PAD, START = 1, 0, 2
PROMPT = np.array([[START], [START]])
EVERYTHING = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}


def search(model, prompt=PROMPT, prompt_mask=None, **options):
    options = {"eos_token_id": EOS, "pad_token_id": PAD, **EVERYTHING, **options}
    return generate_ids(
        model, prompt, GenerationConfig(**options), CallArguments(prompt_mask=prompt_mask)
    )


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that answers NumPy's functions and will not become a NumPy array, as on a GPU."""

    def __init__(self, host):
        self.host = host

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if any(isinstance(x, np.ndarray) for x in inputs):
            raise TypeError("an array of the host meets one of the device")
        return self._apply(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return self._apply(function, args, kwargs)

    def __array__(self, *args, **kwargs):
        raise TypeError("the array lives on another device; use to_numpy")

    def __getattr__(self, name):
        value = getattr(self.host, name)
        if callable(value):
            return lambda *args, **kwargs: self._apply(value, args, kwargs)
        return value

    def __getitem__(self, index):
        return DeviceArray(self.host[index])

    def __setitem__(self, index, value):
        self.host[index] = self._unwrap(value)

    def get(self):
        return self.host

    @staticmethod
    def _unwrap(x):
        return x.host if isinstance(x, DeviceArray) else x

    def _apply(self, function, args, kwargs):
        kwargs = {name: self._unwrap(value) for name, value in kwargs.items()}
        return DeviceArray(function(*map(self._unwrap, args), **kwargs))


@pytest.mark.parametrize("seed", range(5))
def test_greedy_search_takes_the_best_token_until_the_end(seed):
    model = TableModel(seed)
    expected = [[START], [START]]
    for row, sequence in enumerate(expected):
        while len(sequence) < 21 and sequence[-1] != EOS:
            sequence.append(int(model.logits(row, np.array([sequence]))[0].argmax()))
    longest = max(map(len, expected))
    padded = [sequence + [PAD] * (longest - len(sequence)) for sequence in expected]
    assert search(TableModel(seed)).sequences.tolist() == padded


def test_a_finished_row_gets_pad_and_the_others_go_on():
    settings = resolve(GenerationConfig(eos_token_id=EOS, pad_token_id=5), 1)
    state = SearchState(np.array([[START], [START]]), np.array([True, False]))
    scores = np.array([[0.0, 1.0, 2.0], [0.0, 9.0, 3.0]])
    after = greedy_step(state, scores, stopping_criteria(settings), settings)
    assert after.ids.tolist() == [[START, 5], [START, EOS]]
    assert after.finished.tolist() == [True, True]
    assert state.ids.tolist() == [[START], [START]]


def test_without_an_eos_there_is_no_pad_and_a_finished_row_goes_on():
    settings = resolve(GenerationConfig(pad_token_id=5), 1)
    state = SearchState(np.array([[START]]), np.array([True]))
    after = greedy_step(state, np.array([[0.0, 3.0]]), stopping_criteria(settings), settings)
    assert after.ids.tolist() == [[START, 1]]


def test_of_equal_scores_greedy_search_takes_the_lowest_id():
    settings = resolve(GenerationConfig(), 1)
    state = SearchState(np.array([[START]]), np.array([False]))
    after = greedy_step(state, np.array([[0.0, 3.0, 3.0]]), stopping_criteria(settings), settings)
    assert after.ids.tolist() == [[START, 1]]


@pytest.mark.parametrize(("eos", "lengths"), [(EOS, [2, 5]), (None, [5, 5])])
def test_a_row_finished_by_the_caller_counts_the_tokens_it_has_written(eos, lengths):
    model = TableModel(0, end_bias=-100.0)

    def criterion(ids, scores):
        return np.array([ids.shape[1] > 2, ids.shape[1] > 5])

    options = {"eos_token_id": eos, "pad_token_id": PAD, **EVERYTHING}
    call = CallArguments(stopping_criteria=[criterion])
    output = generate_ids(model, PROMPT, GenerationConfig(**options), call)
    assert [hypothesis.length for hypothesis in output.hypotheses] == lengths
    assert (output.sequences[0, 3:] == PAD).all() == (eos == EOS)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, greedy_search),
        ({"do_sample": True}, sampling),
        ({"num_beams": 2}, beam_search),
        ({"num_beams": 2, "do_sample": True}, beam_sampling),
        ({"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 1.0}, group_beam_search),
        ({"num_beams": 2, "force_words_ids": [[5]]}, constrained_beam_search),
        ({"penalty_alpha": 0.6}, contrastive_search),
        ({"penalty_alpha": 0.6, "top_k": 1}, greedy_search),
        ({"penalty_alpha": 0.6, "do_sample": True}, sampling),
        ({"penalty_alpha": 0.6, "num_beams": 2}, beam_search),
    ],
)
def test_the_options_choose_the_search(options, expected):
    chosen = strategy(resolve(GenerationConfig(**options), 1))
    assert getattr(chosen, "func", chosen) is expected


def test_the_search_ends_as_soon_as_every_row_has():
    output = search(TableModel(0, end_bias=100.0))
    assert output.sequences.tolist() == [[START, EOS], [START, EOS]]
    assert len(output.scores) == 1


def test_without_an_end_every_row_has_the_longest_length():
    sequences = search(TableModel(0, end_bias=9.0), eos_token_id=None, max_length=6).sequences
    assert sequences.shape == (2, 6)
    assert (sequences[:, 1] == EOS).all()


@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "num_return_sequences": 2}])
def test_a_row_does_not_depend_on_the_rest_of_the_batch(options):
    together = search(TableModel(4, end_bias=1.0), **options)
    for index in range(2):
        model = TableModel(4, end_bias=1.0)
        model.tables = model.tables[index : index + 1]
        alone = search(model, PROMPT[:1], **options).sequences
        of_this_input = np.split(together.sequences, 2)[index]
        np.testing.assert_array_equal(of_this_input[:, : alone.shape[1]], alone)


def test_the_prompt_may_be_longer_than_one_token():
    prompt = np.array([[START, 3, 4], [START, 5, 6]], dtype=np.int32)
    model = TableModel(0)
    sequences = search(model, prompt, max_new_tokens=2, eos_token_id=None).sequences
    np.testing.assert_array_equal(sequences[:, :3], prompt)
    assert sequences.shape == (2, 5)
    assert [tokens.shape for tokens, _ in model.calls] == [(2, 3), (2, 1)]
    assert {tokens.dtype for tokens, _ in model.calls} == {np.dtype(np.int64)}


def test_the_scores_are_processed_and_the_logits_are_not():
    output = search(TableModel(0), min_length=20, max_length=20)
    expected = output.logits[5].copy()
    expected[:, EOS] = -np.inf
    np.testing.assert_array_equal(output.scores[5], expected)
    assert output.logits[5].dtype == np.float32


def test_scores_and_logits_are_kept_only_on_request():
    output = search(TableModel(0), return_dict_in_generate=False)
    assert output.scores is output.logits is None


def test_an_output_can_be_read_by_name_and_by_position():
    output = search(TableModel(0), num_beams=2)
    expected = ["sequences", "sequences_scores", "scores", "logits", "beam_indices", "hypotheses"]
    assert output.keys() == expected
    assert output[0] is output["sequences"] is output.sequences


@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "length_penalty": 2.0}])
def test_on_another_device_the_same_is_generated_to_the_last_bit(options):
    options = {**options, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3, "min_length": 5}
    host = search(TableModel(2), **options)
    device = search(TableModel(2, wrap=DeviceArray), **options)
    np.testing.assert_array_equal(device.sequences, host.sequences)
    for there, here in zip(device.scores, host.scores, strict=True):
        assert isinstance(there, DeviceArray)
        np.testing.assert_array_equal(there.get(), here)


def test_the_padding_of_a_prompt_reaches_the_repetition_penalty():
    prompt, mask = np.array([[3, START], [3, START]]), np.array([[0, 1], [1, 1]])
    output = search(TableModel(0), prompt, mask, repetition_penalty=1.5, num_beams=2)
    raw = search(TableModel(0), prompt, num_beams=2).scores[0]
    changed = (output.scores[0] != raw)[:, 3]
    assert changed.tolist() == [False, False, True, True]


@pytest.mark.parametrize("prompt", [np.array([2]), np.zeros((2, 0), np.int64), np.ones((2, 1))])
def test_a_prompt_that_is_no_matrix_of_ids_is_refused(prompt):
    with pytest.raises(ValueError, match="prompt_ids must be whole numbers"):
        search(TableModel(0), prompt)


@pytest.mark.parametrize("shape", [(2, 1, 7), (3, 7)])
def test_logits_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"last token's logits, \(2, V\), got shape"):
        search(lambda tokens, parents: np.zeros(shape))
