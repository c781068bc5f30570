"""Published logits, strings and ids of the models on the hub.

Each is checked where the model is found in the cache, or downloaded with: pytest -m hub --hub
"""

import numpy as np
import pytest

from minibert2bert import (
    AutoTokenizer,
    BertGenerationDecoder,
    BertGenerationEncoder,
    BertModel,
    EncoderDecoderModel,
    GPT2LMHeadModel,
    RobertaForCausalLM,
    RobertaModel,
)
from minibert2bert.hub import resolve
from minibert2bert.models.config import BertConfig, EncoderDecoderConfig
from minibert2bert.models.sharing import shared_names

BBC = "google/bert_for_seq_generation_L-24_bbc_encoder"
BERT_IDS = [101, 7592, 1010, 2026, 3899, 2003, 10140, 102]
LONG_IDS = [0, 345, 232, 328, 740, 140, 1695, 69, 6078, 1588, 2]
ROBERTA_IDS = [0, 31414, 232, 328, 740, 1140, 12695, 69, 46078, 1588, 2]
MASK = [0] + [1] * 10
FIRST, SECOND = (slice(0, 3), slice(0, 3)), (slice(1, 4), slice(1, 4))
RELATIVE = "zhiheng-huang/bert-base-uncased-embedding-relative-key"

# The slices in the tests of transformers: name, class, ids, mask, field, where, values.
SLICES = [
    (BBC, BertGenerationEncoder, BERT_IDS, None, "last_hidden_state", FIRST,
     [[0.1775, 0.0083, -0.0321], [1.6002, 0.1287, 0.3912], [2.1473, 0.5791, 0.6066]]),
    (BBC, BertGenerationDecoder, BERT_IDS, None, "logits", FIRST,
     [[-0.5788, -2.5994, -3.7054], [0.0438, 4.7997, 1.8795], [1.5862, 6.6409, 4.4638]]),
    ("google-bert/bert-base-uncased", BertModel, LONG_IDS, MASK, "last_hidden_state", SECOND,
     [[0.4249, 0.1008, 0.7531], [0.3771, 0.1188, 0.7467], [0.4152, 0.1098, 0.7108]]),
    (RELATIVE, BertModel, LONG_IDS, MASK, "last_hidden_state", SECOND,
     [[0.0756, 0.3142, -0.5128], [0.3761, 0.3462, -0.5477], [0.2052, 0.3760, -0.1240]]),
    (f"{RELATIVE}-query", BertModel, LONG_IDS, MASK, "last_hidden_state", SECOND,
     [[0.6496, 0.3784, 0.8203], [0.8148, 0.5656, 0.2636], [-0.0681, 0.5597, 0.7045]]),
    ("FacebookAI/roberta-base", RobertaForCausalLM, ROBERTA_IDS, None, "logits", FIRST,
     [[33.8802, -4.3103, 22.7761], [4.6539, -2.8098, 13.6253], [1.8228, -3.6898, 8.8600]]),
    ("FacebookAI/roberta-base", RobertaModel, ROBERTA_IDS, None, "last_hidden_state", FIRST,
     [[-0.0231, 0.0782, 0.0074], [-0.1854, 0.0540, -0.0175], [0.0548, 0.0799, 0.1687]]),
]  # fmt: skip

WMT = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>"}
# The examples of the model cards: name, tokenizer options, source, answer.
ANSWERS = [
    ("google/roberta2roberta_L-24_discofuse", {},
     "As a run-blocker, Zeitler moves relatively well. Zeitler often struggles at the point of "
     "contact in space.",
     "As a run-blocker, Zeitler moves relatively well. However, Zeitler often struggles at the "
     "point of contact in space."),
    ("google/roberta2roberta_L-24_gigaword", {},
     "australian shares closed down #.# percent monday\nfollowing a weak lead from the united "
     "states and\nlower commodity prices , dealers said .",
     "australian shares close down #.# percent."),
    ("google/roberta2roberta_L-24_wikisplit", {},
     "<s>Due to the hurricane, Lobsterfest has been canceled, making Bob very happy about it and "
     "he decides to open Bob 's Burgers for customers who were planning on going to "
     "Lobsterfest.</s>",
     "Due to the hurricane, Lobsterfest has been canceled, making Bob very happy about it. He "
     "decides to open Bob's Burgers for customers who were planning on going to Lobsterfest."),
    ("google/bert2bert_L-24_wmt_de_en", WMT, "Willst du einen Kaffee trinken gehen mit mir?",
     "Want to drink a kaffee go with me? ."),
    ("google/bert2bert_L-24_wmt_en_de", WMT, "Would you like to grab a coffee with me this week?",
     "Möchten Sie diese Woche einen Kaffee mit mir schnappen?"),
]  # fmt: skip


@pytest.fixture
def found(request):
    """Find a model's folder, or skip with the reason."""

    def find(name):
        try:
            return resolve(name, local_files_only=not request.config.getoption("--hub"))
        except FileNotFoundError as error:
            raise pytest.skip.Exception(str(error)) from None

    return find


@pytest.mark.hub
@pytest.mark.parametrize(("name", "kind", "ids", "mask", "field", "where", "expected"), SLICES)
def test_published_slices(found, name, kind, ids, mask, field, where, expected):
    output = kind.from_pretrained(found(name))([ids], [mask] if mask else None)
    np.testing.assert_allclose(output[field][0][where], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.hub
@pytest.mark.parametrize(("name", "options", "source", "answer"), ANSWERS)
def test_published_answers(found, name, options, source, answer):
    folder = found(name)
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    batch = tokenizer([source], add_special_tokens=False, return_tensors="np")
    ids = EncoderDecoderModel.from_pretrained(folder).generate(batch.input_ids)
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == [answer]


@pytest.mark.hub
def test_published_greedy_ids_of_gpt2(found):
    model = GPT2LMHeadModel.from_pretrained(found("openai-community/gpt2"))
    ids, cache = [464, 3290], None
    while len(ids) < 20:
        output = model([ids if cache is None else ids[-1:]], past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        ids.append(int(output.logits[0, -1].argmax()))
    assert ids == [464, 3290, 373, 1043, 287, 257, 2214, 1474, 262, 16246, 286, 2688, 290, 2688,
                   27262, 13, 198, 198, 464, 3290]  # fmt: skip


@pytest.mark.hub
@pytest.mark.parametrize(
    ("name", "text", "ids"),
    [
        (BBC, "Hello World!", [18536, 2260, 101]),
        ("google-bert/bert-base-uncased", "Hello, my dog is cute",
         [101, 7592, 1010, 2026, 3899, 2003, 10140, 102]),
        ("FacebookAI/roberta-base", "Hello world! cécé herlolip 418", ROBERTA_IDS),
        ("FacebookAI/roberta-base", " Hello world", [0, 20920, 232, 2]),
        ("openai-community/gpt2", "Hello world", [15496, 995]),
        ("openai-community/gpt2", " Hello world", [18435, 995]),
    ],
)  # fmt: skip
def test_published_ids(found, name, text, ids):
    assert AutoTokenizer.from_pretrained(found(name)).encode(text) == ids


@pytest.mark.parametrize(
    ("vocab_size", "tied", "total"), [(30522, False, 247_363_386), (28996, True, 137_298_244)]
)
def test_published_numbers_of_parameters(vocab_size, tied, total):
    half = BertConfig(vocab_size=vocab_size)
    config = EncoderDecoderConfig.from_encoder_decoder_configs(half, half, tie_encoder_decoder=tied)
    shapes = EncoderDecoderModel.parameter_shapes(config)
    shared = shared_names(config)
    assert sum(np.prod(shape) for name, shape in shapes.items() if name not in shared) == total
