"""Text in, text out: with the demo model, and the errors that belong to a tokenizer."""

import pytest

from minibert2bert import AutoTokenizer, EncoderDecoderModel, pipeline
from minibert2bert.demo import DEMO_FOLDER
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.generate import SPECIAL_IDS
from minibert2bert.generation.pipeline import BATCH_SIZE

TEXTS = ["My sister is reading a long letter.", "How old are you?"]


@pytest.fixture(scope="module")
def translate():
    return pipeline("text2text-generation")


def test_a_text_gives_a_text_and_a_list_gives_a_list(translate):
    alone = translate(TEXTS[0])
    assert alone == [{"generated_text": "Meine Schwester liest einen langen Brief."}]
    assert translate(TEXTS)[0] == alone[0]


def test_several_answers_come_best_first_with_their_source(translate):
    answers = translate.answers(TEXTS, num_beams=3, num_return_sequences=2)
    assert [answer.source for answer in answers] == [t for t in TEXTS for _ in range(2)]
    assert answers[0].score >= answers[1].score
    assert answers[0].text != answers[1].text


def test_a_model_and_its_tokenizer_make_a_pipeline_too(translate):
    model = EncoderDecoderModel.from_pretrained(DEMO_FOLDER)
    with pytest.raises(ValueError, match="a model needs its tokenizer"):
        pipeline("text2text-generation", model)
    made = pipeline("text2text-generation", model, AutoTokenizer.from_pretrained(DEMO_FOLDER))
    assert made(TEXTS) == translate(TEXTS)


def test_options_of_a_config_hold_for_more_texts_than_a_batch(translate):
    config = GenerationConfig(max_new_tokens=1)
    answers = translate.answers([TEXTS[0]] * (BATCH_SIZE + 1), generation_config=config)
    assert {answer.text for answer in answers} == {"Meine"}


def test_the_tokenizer_knows_the_special_ids_of_a_model_that_does_not(translate):
    model = EncoderDecoderModel.from_pretrained(DEMO_FOLDER)
    model.generation_config = GenerationConfig(max_new_tokens=20)
    for config in (model.config, model.config.decoder):
        for name in SPECIAL_IDS:
            setattr(config, name, None)
    made = pipeline("text2text-generation", model, translate.tokenizer)
    assert made(TEXTS[0]) == translate(TEXTS[0])


def test_stop_strings_need_no_tokenizer_here(translate):
    found = translate(TEXTS[0], stop_strings=["nobody", "Schw"])
    assert found == [{"generated_text": "Meine Schwester"}]


def test_an_unknown_task_names_the_known_one():
    with pytest.raises(ValueError, match="text2text-generation"):
        pipeline("text-classification")


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_with_the_line_to_write(side):
    model = EncoderDecoderModel.from_pretrained(DEMO_FOLDER)
    tokenizer = AutoTokenizer.from_pretrained(DEMO_FOLDER)
    model.resize_token_embeddings(3999, side=side)
    with pytest.raises(ValueError, match=rf'resize_token_embeddings\(4000, side="{side}"\)'):
        pipeline("text2text-generation", model, tokenizer)


def test_the_shipped_vocabulary_remembers_no_path_of_its_making():
    content = (DEMO_FOLDER / "spiece.model").read_bytes()
    assert b"/tmp/" not in content
    assert b"text.txt" not in content
