"""What a checkpoint or a caller asks of generate(), under the names of generation_config.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from minibert2bert.generation.checks import CHECKS, check_options
from minibert2bert.generation.options import check_call_option, file_options

CONFIG_FILE = "generation_config.json"


@dataclass(frozen=True)
class GenerationConfig:
    """The options of generate(); None means that nothing was said.

    What was said in several places is merged in this order, first come first served: the call,
    a config passed to the call, the model's own config, and at last the defaults below, which
    `settings.resolve` fills in.

    Attributes:
        max_length: most tokens of a sequence, prompt included; prompt + 20.
        max_new_tokens: most tokens after the prompt; if set, max_length does not count.
        min_length: fewest tokens of a sequence, prompt included and eos excluded; 0.
        min_new_tokens: fewest tokens after the prompt, eos excluded; if set, min_length does not
            count.
        num_beams: K, the sequences kept for each input; 1, which is greedy search.
        early_stopping: when beam search is content with K finished sequences: True, at once; False,
            when the best running one would not improve on them if it ended now; "never", when it
            could not improve on them at any length.
        length_penalty: exponent of the number of generated tokens, by which the sum of the
            log-probabilities is divided; 1.0. A larger one favours longer sequences.
        num_return_sequences: answers to each input: up to K, or any number with do_sample; 1.
        no_repeat_ngram_size: length of the n-grams that may occur only once; 0 for any.
        length_penalty_style: "hf", length ** length_penalty, or "gnmt", ((5 + length) / 6) **
            length_penalty; "hf".
        num_beam_groups: G, the groups that the beams are divided into; 1, which is no groups.
        diversity_penalty: what a token costs a group for each beam of an earlier group that has
            just chosen it; 0.0, but groups need more.
        penalty_alpha: share of the degeneration penalty in contrastive search; 0.0 for none.
        force_words_ids: ids that an answer must contain: a list of words, each a list of ids or
            a list of such alternatives; none.
        do_sample: draw the next token instead of taking the best; False.
        temperature: divides the scores before a draw, a float; 1.0.
        top_k: draw from the k best only; 50, and 0 for all.
        top_p: draw from the fewest tokens that have this probability together; 1.0 for all.
        min_p: draw from the tokens at least this probable, as a share of the best; not set.
        top_h: draw from the best tokens that keep this share of the entropy; not set.
        typical_p: draw from the tokens of the most expected surprise; 1.0 for all.
        epsilon_cutoff: draw from the tokens at least this probable; 0.0 for all.
        eta_cutoff: the same with a threshold that falls with the entropy; 0.0 for all.
        repetition_penalty: factor that makes used tokens less likely; 1.0 for none.
        encoder_repetition_penalty: factor that makes the source's tokens more likely; 1.0.
        encoder_no_repeat_ngram_size: length of the n-grams of the source that may not occur; 0.
        bad_words_ids: words that may not occur, each a list of ids; none.
        sequence_bias: what is added to the score of a word's last id: a dict from tuples of ids, or
            a list of pairs of ids and bias; none.
        suppress_tokens: ids that may not occur; none.
        begin_suppress_tokens: ids that may not be the first one generated; none.
        exponential_decay_length_penalty: (start, factor), by which the end becomes likelier from
            the start-th new token on; none.
        remove_invalid_values: make numbers of nan and infinities; False.
        renormalize_logits: make log-probabilities of the processed scores; False.
        max_time: seconds after which no further token is generated; not set.
        stop_strings: texts that end an answer, one or several; needs the tokenizer.
        pad_token_id: what stands after the end of a sequence; the first eos id.
        bos_token_id: starts the decoder if decoder_start_token_id is not set.
        eos_token_id: ends a sequence; one id or several.
        forced_bos_token_id: what a sequence has after its start token; anything if not set.
        forced_eos_token_id: what a sequence of the longest length ends with; likewise.
        decoder_start_token_id: the decoder's first token; one id, or one for each input.
        output_scores: return the processed scores of every step, in the object of
            return_dict_in_generate; without that, it has no effect.
        output_logits: return the raw scores of every step, likewise.
        output_attentions: return the attention weights of every step, likewise.
        output_hidden_states: return the hidden states of every step, likewise.
        return_dict_in_generate: return an object instead of the ids.
        use_cache: read and written, without effect: decoding keeps keys and values always, and its
            result does not depend on it.
        other: whatever else a file held, nulls included; written back as it was.
    """

    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int | None = None
    min_new_tokens: int | None = None
    num_beams: int | None = None
    early_stopping: bool | str | None = None
    length_penalty: float | None = None
    num_return_sequences: int | None = None
    length_penalty_style: str | None = None
    num_beam_groups: int | None = None
    diversity_penalty: float | None = None
    penalty_alpha: float | None = None
    force_words_ids: list[Any] | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_h: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    no_repeat_ngram_size: int | None = None
    repetition_penalty: float | None = None
    encoder_repetition_penalty: float | None = None
    encoder_no_repeat_ngram_size: int | None = None
    bad_words_ids: list[list[int]] | None = None
    sequence_bias: Any = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    exponential_decay_length_penalty: tuple[int, float] | None = None
    remove_invalid_values: bool | None = None
    renormalize_logits: bool | None = None
    max_time: float | None = None
    stop_strings: str | list[str] | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = None
    decoder_start_token_id: int | list[int] | None = None
    output_scores: bool | None = None
    output_logits: bool | None = None
    output_attentions: bool | None = None
    output_hidden_states: bool | None = None
    return_dict_in_generate: bool | None = None
    use_cache: bool | None = None
    other: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_options(CHECKS, self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GenerationConfig":
        """Read the options from a dict; what is unknown, or null, is kept in `other`."""
        said = {name for name, value in values.items() if name in OPTIONS and value is not None}
        other = {name: value for name, value in values.items() if name not in said}
        return cls(**{name: values[name] for name in said}, other=other)

    def to_dict(self) -> dict[str, Any]:
        """What was set, and what else `from_dict` was given."""
        said = {name: getattr(self, name) for name in OPTIONS}
        return {**self.other, **{name: value for name, value in said.items() if value is not None}}

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "GenerationConfig":
        """Read generation_config.json from a folder.

        Raises:
            FileNotFoundError: the folder has no such file; see `from_model_config`.
            ValueError: the file is not a JSON object.
        """
        path = Path(folder) / CONFIG_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} must hold JSON: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}")
        return cls.from_dict(values)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write generation_config.json into a folder, which is made if there is none."""
        path = Path(folder) / CONFIG_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        values = self.to_dict()
        if isinstance(self.sequence_bias, Mapping):
            # JSON has no keys of several numbers; the reference reads this form, too.
            values["sequence_bias"] = [[list(word), b] for word, b in self.sequence_bias.items()]
        text = json.dumps(values, indent=2, sort_keys=True, default=_plain)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_model_config(
        cls, top: Mapping[str, Any], decoder: Mapping[str, Any]
    ) -> "GenerationConfig":
        """Collect the options from a config.json, for a folder without generation_config.json.

        Args:
            top: the config of the whole model; what it sets wins.
            decoder: the decoder's part of it

        Returns:
            a config marked as derived; it names the reference's options only.
        """
        names = OPTIONS | file_options().keys()
        values = {
            name: value
            for source in (decoder, top)
            for name, value in source.items()
            if name in names and value is not None
        }
        if any(value is True for name, value in values.items() if name.startswith("output_")):
            values["return_dict_in_generate"] = True
        return cls.from_dict({**values, "_from_model_config": True})

    def updated(self, **options: Any) -> "GenerationConfig":
        """Set the options of a call, or of a user who changes a model's config.

        Raises:
            ValueError: an option that does not exist, or does not exist here, or a value out of
                range.
        """
        for name in sorted(options.keys() - OPTIONS):
            check_call_option(name, options[name], OPTIONS)
        ours = {name: value for name, value in options.items() if name in OPTIONS}
        other = {name: value for name, value in self.other.items() if name != "_from_model_config"}
        return replace(self, **ours, other=other) if ours else self

    def with_fallback(self, fallback: "GenerationConfig") -> "GenerationConfig":
        """Take from fallback, usually the model's own config, what is not set here."""
        said = {name: value for name, value in self.to_dict().items() if value is not None}
        return self.from_dict({**fallback.to_dict(), **said})

    def start_token_id(self) -> int | list[int]:
        """The decoder's first token: decoder_start_token_id, or else bos_token_id.

        Raises:
            ValueError: neither is set.
        """
        if self.decoder_start_token_id is not None:
            return self.decoder_start_token_id
        if self.bos_token_id is not None:
            return self.bos_token_id
        ids = {name: getattr(self, name) for name in ("pad_token_id", "eos_token_id")}
        known = ", ".join(f"{name} is {value}" for name, value in ids.items() if value is not None)
        raise ValueError(
            "the decoder must start with decoder_start_token_id or bos_token_id, and neither is "
            "set; pass decoder_start_token_id=tokenizer.cls_token_id, or bos_token_id where there "
            f"is one ({known or 'no other id is known either'})"
        )


OPTIONS = frozenset(option.name for option in fields(GenerationConfig)) - {"other"}
"""The names of the options that exist here."""


def _plain(value: Any) -> Any:
    """Make NumPy's numbers and arrays Python's."""
    return value.tolist()
