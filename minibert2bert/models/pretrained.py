"""What all models share: they hold a config and nested parameters, and come from a folder."""

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from minibert2bert.arrays import Array, Params, flatten, nest
from minibert2bert.checkpoints.folders import replacing
from minibert2bert.checkpoints.names import LoadReport, canonical_names, fit_heads, match, summary
from minibert2bert.checkpoints.safetensors_files import (
    is_weights_file,
    write_tensors,
)
from minibert2bert.checkpoints.torch_files import read_checkpoint
from minibert2bert.device import to_device, to_numpy
from minibert2bert.hub import resolve
from minibert2bert.models.initial import initial_parameters


class PretrainedModel:
    """The base of the models.

    Attributes:
        config: the settings
        params: nested dicts of arrays under the checkpoint's names
        load_report: what from_pretrained found in the files; None for a fresh model
    """

    config_class: ClassVar[type[Any]]
    base_prefix: ClassVar[str] = ""

    def __init__(
        self, config: Any, rng: np.random.Generator | None = None, dtype: str = "float32"
    ) -> None:
        """Make a model with freshly initialised parameters.

        Args:
            config: the settings
            rng: source of the weights; None takes a fresh one.
            dtype: "float32" or "float64"

        Raises:
            ValueError: if the config asks for something that cannot be built.
        """
        shapes = self.parameter_shapes(config)
        rng = rng if rng is not None else np.random.default_rng()
        self.config = config
        self.params: Params = nest(self.initial_parameters(shapes, config, rng, dtype))
        self.load_report: LoadReport | None = None

    @classmethod
    def parameter_shapes(cls, config: Any) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter that this config asks for."""
        raise TypeError(f"{cls.__name__} is a base class; use one of its families")

    @classmethod
    def initial_parameters(
        cls,
        shapes: dict[str, tuple[int, ...]],
        config: Any,
        rng: np.random.Generator,
        dtype: str,
    ) -> dict[str, Array]:
        """Draw fresh parameters of these names and shapes; see the function of that name."""
        return initial_parameters(shapes, config, rng, dtype)

    @classmethod
    def from_parameters(cls, config: Any, params: Params) -> Self:
        """Make a model of given arrays, without drawing any.

        Args:
            config: the settings
            params: nested dicts with the names and shapes that the config asks for

        Raises:
            ValueError: if names or shapes differ.
        """
        model = cls.__new__(cls)
        model.config = config
        model.load_report = None
        model.set_parameters(params)
        return model

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        dtype: str = "float32",
        config: Any = None,
        rng: np.random.Generator | None = None,
        ignore_mismatched_sizes: bool = False,
        strict: bool = False,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        **config_overrides: Any,
    ) -> Self:
        """Load a model from a folder with config.json and its tensors.

        Args:
            folder: as save_pretrained of this package or of transformers writes it, with
                safetensors or torch files; or a model's name on the hub, see hub.resolve
            dtype: of the parameters, "float32" or "float64"; half precision is widened.
            config: the settings, instead of those in the folder
            rng: source of the parameters that the files do not hold; None takes a fresh one.
            ignore_mismatched_sizes: whether to initialise tensors of another shape anew
            strict: whether a tensor that the model has no place for is an error
            revision: of a name on the hub, like the three that follow
            cache_dir: the hub's cache
            local_files_only: whether never to download
            token: for models that are not public
            config_overrides: fields of the config to use instead of the file's

        Returns:
            a model; its load_report says what was loaded, what is new, what was unexpected.

        Raises:
            FileNotFoundError: if the folder or one of its files is missing.
            ValueError: if a file is corrupt, or its tensors do not fit the config.
        """
        folder = resolve(folder, revision, cache_dir, local_files_only, token)
        if config is None:
            config = cls.config_class.from_pretrained(folder, **config_overrides)
        model = cls.from_tensors(
            config, read_checkpoint(folder, dtype), dtype, rng, ignore_mismatched_sizes
        )
        report = model.load_report
        if strict and report is not None and report.unexpected:
            raise ValueError(
                f"{folder} holds tensors that {cls.__name__} has no place for: "
                f"{summary(report.unexpected)}; leave them out with strict=False"
            )
        model.read_settings(Path(folder))
        return model

    @classmethod
    def from_tensors(
        cls,
        config: Any,
        tensors: dict[str, Array],
        dtype: str = "float32",
        rng: np.random.Generator | None = None,
        ignore_mismatched_sizes: bool = False,
    ) -> Self:
        """Make a model of a file's tensors; what they lack is drawn afresh and reported.

        Args:
            config: the settings
            tensors: arrays under the names of a file
            dtype: of what is drawn
            rng: source of it; None takes a fresh one.
            ignore_mismatched_sizes: whether to draw tensors of another shape anew

        Raises:
            ValueError: if a shape differs, or if no name fits at all.
        """
        expected = cls.parameter_shapes(config)
        named = cls.fit_names(tensors, expected, config)
        loaded, report = match(named, expected, ignore_mismatched_sizes)
        missing = {name: expected[name] for name in report.new}
        rng = rng if rng is not None else np.random.default_rng()
        fresh = cls.initial_parameters(missing, config, rng, dtype)
        params = nest({name: loaded[name] if name in loaded else fresh[name] for name in expected})
        model = cls.from_parameters(config, params)
        model.load_report = report
        return model

    @classmethod
    def fit_names(
        cls, tensors: dict[str, Array], expected: dict[str, tuple[int, ...]], config: Any
    ) -> dict[str, Array]:
        """Give the tensors of a file the names that the model expects.

        Args:
            tensors: arrays under the names of the file
            expected: names and shapes of the model
            config: the settings
        """
        return fit_heads(canonical_names(tensors, expected, cls.base_prefix), expected)

    def save_pretrained(
        self, folder: str | Path, dtype: str | None = None, max_shard_size: int | None = None
    ) -> None:
        """Write config.json and the parameters, so that transformers can load the folder, too.

        What else the folder holds is kept; if anything fails, the old folder stays as it was.

        Args:
            folder: made if it is not there
            dtype: "float16", "float32" or "float64"; None writes the model's own.
            max_shard_size: the most bytes of a file; None puts all into one.
        """
        with replacing(folder, drop=is_weights_file) as new:
            self.write_to(new, dtype, max_shard_size)

    def write_to(
        self, folder: Path, dtype: str | None = None, max_shard_size: int | None = None
    ) -> None:
        """Write the files of save_pretrained to a folder that nobody reads yet."""
        tensors = self.stored_parameters(to_numpy(self.parameters()))
        write_tensors(folder, tensors, dtype, max_shard_size)
        self.write_settings(folder, dtype or str(self.like.dtype))

    def read_settings(self, folder: Path) -> None:
        """Read what else a folder says of the model; here nothing."""

    def write_settings(self, folder: Path, dtype: str) -> None:
        """Write the files beside the parameters: config.json."""
        settings = {"architectures": [type(self).__name__], "dtype": dtype, "torch_dtype": dtype}
        written = self.config.replace(other={**self.config.other, **settings})
        (folder / "config.json").write_text(written.to_json(), encoding="utf-8")

    def stored_parameters(self, parameters: dict[str, Array]) -> dict[str, Array]:
        """Return what is written to the files."""
        return with_both_head_biases(parameters)

    @property
    def like(self) -> Array:
        """Some parameter: where it lives, and in which precision, the model computes."""
        tree = self.params
        while isinstance(tree, dict):
            tree = next(iter(tree.values()))
        return tree

    def parameters(self) -> dict[str, Array]:
        """Return the flat dict of arrays, shared with the model."""
        return flatten(self.params)

    def set_parameters(self, params: Params) -> None:
        """Use these arrays from now on.

        Args:
            params: nested dicts with the names and shapes of the model's own

        Raises:
            ValueError: if names or shapes differ.
        """
        shapes = {name: tuple(array.shape) for name, array in flatten(params).items()}
        expected = self.parameter_shapes(self.config)
        if shapes != expected:
            wrong = sorted(n for n in shapes | expected if shapes.get(n) != expected.get(n))
            first = wrong[0]
            raise ValueError(
                f"{len(wrong)} parameters do not fit the config, first {first}: expected shape "
                f"{expected.get(first)}, got {shapes.get(first)}"
            )
        self.params = params

    def resize_token_embeddings(
        self, vocab_size: int, rng: np.random.Generator | None = None
    ) -> None:
        """Change the number of words, in the embeddings and the head.

        Args:
            vocab_size: the new number; further rows are drawn afresh, superfluous ones dropped.
            rng: source of the new rows; None takes a fresh one.
        """
        config = self.config.replace(vocab_size=vocab_size)
        rng = rng if rng is not None else np.random.default_rng()
        old = self.parameters()
        shapes = self.parameter_shapes(config)
        changed = {name: shape for name, shape in shapes.items() if shape != old[name].shape}
        fresh = self.initial_parameters(changed, config, rng, str(self.like.dtype))
        for name, array in fresh.items():
            kept = min(vocab_size, len(old[name]))
            array = np.asarray(array, like=self.like)
            array[:kept] = old[name][:kept]
            fresh[name] = array
        self.config = config
        self.set_parameters(nest({**old, **fresh}))

    def to(self, device: str) -> Self:
        """Move the parameters to "cpu" or "cuda", and return the model."""
        self.set_parameters(to_device(self.params, device))
        return self


def with_both_head_biases(parameters: dict[str, Array]) -> dict[str, Array]:
    """Give an untied head its bias under both names it goes by.

    Version 5 of transformers computes with lm_head.decoder.bias, version 4 reads lm_head.bias.
    """
    copies = {
        name.replace(".decoder.bias", ".bias"): array.copy()
        for name, array in parameters.items()
        if name.endswith(("lm_head.decoder.bias", "predictions.decoder.bias"))
    }
    return {**parameters, **copies}
