"""150 random searches of a tiny random model, here and in transformers; other ones every time."""

import warnings

import numpy as np
import pytest

from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.strategies import generate_ids

START = 2
EVERYTHING = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}


class ReferenceModel:
    """A tiny random encoder-decoder of transformers, seen as next_logits without a cache."""

    def __init__(self, rng, end_bias, ends):
        import torch
        from transformers import BertGenerationConfig, EncoderDecoderConfig, EncoderDecoderModel

        torch.manual_seed(int(rng.integers(2**31)))
        sizes = {
            "vocab_size": 17,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 32,
            "initializer_range": 1.0,
        }
        encoder = BertGenerationConfig(**sizes)
        decoder = BertGenerationConfig(**sizes, is_decoder=True, add_cross_attention=True)
        config = EncoderDecoderConfig(encoder=encoder.to_dict(), decoder=decoder.to_dict())
        self.model = EncoderDecoderModel(config).eval().double()
        self.model.decoder.lm_head.bias.data.normal_()
        self.model.decoder.lm_head.bias.data[ends] += end_bias
        self.tensor = torch.tensor
        self.source = torch.tensor(rng.integers(0, 17, (rng.integers(1, 4), rng.integers(1, 6))))
        self.source_mask = torch.tensor(rng.integers(0, 2, self.source.shape))
        self.source_mask[:, 0] = 1
        self.ids = None
        self.inputs = None

    def generate(self, prompt, prompt_mask, options):
        from transformers import GenerationConfig as ReferenceConfig

        self.prompt_mask = prompt_mask
        self.model.generation_config = ReferenceConfig()
        return self.model.generate(
            self.source,
            attention_mask=self.source_mask,
            decoder_input_ids=self.tensor(prompt),
            decoder_attention_mask=self.tensor(prompt_mask),
            use_cache=False,
            **options,
        )

    def __call__(self, tokens, parents):
        if self.ids is None:
            self.ids = tokens
            self.inputs = np.arange(len(tokens)) // (len(tokens) // len(self.source))
        else:
            kept = slice(None) if parents is None else parents
            self.inputs = self.inputs[kept]
            self.ids = np.concatenate([self.ids[kept], tokens], axis=1)
        mask = np.ones_like(self.ids)
        mask[:, : self.prompt_mask.shape[1]] = self.prompt_mask[self.inputs]
        logits = self.model(
            self.source[self.inputs],
            attention_mask=self.source_mask[self.inputs],
            decoder_input_ids=self.tensor(self.ids),
            decoder_attention_mask=self.tensor(mask),
            use_cache=False,
        ).logits
        return logits[:, -1].detach().numpy()


def draw_options(rng, prompt_length):
    def sometimes(name, values):
        return {name: values[rng.integers(len(values))]} if rng.random() < 0.6 else {}

    beams = int(rng.integers(1, 6))
    options = {
        "num_beams": beams,
        "eos_token_id": [None, 1, [1], [1, 3], [1, 3, 5]][rng.integers(5)],
        "pad_token_id": [None, 0, 4][rng.integers(3)],
        "decoder_start_token_id": START,
        "max_length": prompt_length + int(rng.integers(1, 12)),
        **sometimes("max_new_tokens", range(1, 12)),
        **sometimes(["min_length", "min_new_tokens"][rng.integers(2)], range(8)),
        **sometimes("no_repeat_ngram_size", range(4)),
        **sometimes("repetition_penalty", [0.6, 1.1, 1.8]),
        **EVERYTHING,
    }
    if beams > 1:
        options |= {
            "num_return_sequences": int(rng.integers(1, beams + 1)),
            "early_stopping": [True, False, "never"][rng.integers(3)],
            "length_penalty": [-1.0, 0.0, 0.7, 1.0, 2.0, 2.5][rng.integers(6)],
        }
    return options


def draw_prompt(rng, batch):
    """Prompts of one to three tokens that begin with the start id, some padded on the left."""
    prompt = rng.integers(0, 17, (batch, rng.integers(1, 4)))
    prompt[:, 0] = START
    padding = rng.integers(0, prompt.shape[1], (batch, 1)) * rng.integers(0, 2)
    return prompt, (np.arange(prompt.shape[1]) >= padding).astype(np.int64)


def trimmed(sequences, prompt_length, options):
    """Without the filler, for which the reference takes eos where pad is 0."""
    eos = options["eos_token_id"]
    filler = {-1, options["pad_token_id"], *(eos if isinstance(eos, list) else [eos])}
    rows = [list(row) for row in sequences.tolist()]
    for row in rows:
        while len(row) > prompt_length and row[-1] in filler:
            row.pop()
    return rows


def compare_with_the_reference(seed):
    rng = np.random.default_rng(seed)
    model = ReferenceModel(rng, rng.uniform(0, 3), ends=[1, 3])
    prompt, prompt_mask = draw_prompt(rng, len(model.source))
    options = draw_options(rng, prompt.shape[1])
    call = CallArguments(prompt_mask=prompt_mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = model.generate(prompt, prompt_mask, options)
        ours = generate_ids(model, prompt, GenerationConfig().updated(**options), call)
    message = f"seed {seed}: {options}"
    ids, their_ids = (trimmed(x.sequences, prompt.shape[1], options) for x in (ours, theirs))
    assert ids == their_ids, message
    ours_alone = {"hypotheses"}
    assert set(ours.keys()) - ours_alone == {name for name in theirs if hasattr(ours, name)}
    if options["num_beams"] > 1:
        np.testing.assert_array_equal(ours.beam_indices, theirs.beam_indices, message)
        # Division by length ** -1 multiplies the rounding errors of the sum.
        growth = max(1.0, ours.beam_indices.shape[1] ** -options["length_penalty"])
        np.testing.assert_allclose(
            ours.sequences_scores, theirs.sequences_scores, 1e-6, 1e-6 * growth, err_msg=message
        )
    # Inputs that are done are not asked for again; there, the model goes on with their padding.
    asked = [np.abs(step).max(axis=-1) > 0 for step in ours.logits]
    for name in ("scores", "logits"):
        pairs = zip(asked, getattr(ours, name), getattr(theirs, name), strict=True)
        for rows, our_step, their_step in pairs:
            np.testing.assert_allclose(
                our_step[rows], their_step[rows], 1e-6, 2e-6, err_msg=message
            )


@pytest.fixture
def _one_thread():
    import torch

    # For a model this small, threads cost ten times what they save.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parity
@pytest.mark.usefixtures("_one_thread")
def test_ids_scores_and_beams_are_those_of_the_reference():
    first = int(np.random.SeedSequence().generate_state(1)[0])
    for seed in range(first, first + 150):
        compare_with_the_reference(seed)
