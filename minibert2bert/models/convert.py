"""Rewrite a model's folder: other file formats to safetensors, tied halves to two copies."""

import json
import shutil
from pathlib import Path
from typing import Any

from minibert2bert.arrays import Array, nest
from minibert2bert.checkpoints.flax_files import read_flax_tensors
from minibert2bert.checkpoints.folders import replacing
from minibert2bert.checkpoints.safetensors_files import INDEX, is_weights_file
from minibert2bert.checkpoints.tensorflow_files import read_tensorflow_tensors
from minibert2bert.models.auto import AutoConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.families import DECODERS, ENCODERS
from minibert2bert.models.pretrained import PretrainedModel

# Other formats of the same weights are not taken along.
LEFT_BEHIND = ("pytorch_model", "tf_model", "flax_model", "model.safetensors", "model-", "config.")

FOREIGN = {"tf_model.h5": read_tensorflow_tensors, "flax_model.msgpack": read_flax_tensors}


def convert(
    source: str | Path,
    destination: str | Path,
    untie: bool = False,
    force: bool = False,
    dtype: str | None = None,
) -> PretrainedModel:
    """Read a folder of any format, and write it with safetensors and all its other files.

    Args:
        source: a model's folder
        destination: the folder to write
        untie: write both halves of a tied encoder-decoder, which version 5 of transformers needs
            to read it right
        force: whether a destination that is there may be written over
        dtype: what the file's tensors become, "float16", "float32" or "float64"; None keeps
            float32, or float64 where the source has it.

    Returns:
        the model that was written; its load_report says what was found

    Raises:
        FileExistsError: if the destination is there and force is not given.
        ValueError: if untie is asked for a model whose halves are not tied.
    """
    target = Path(destination)
    if target.exists() and any(target.iterdir()) and not force:
        raise FileExistsError(f"{target} is there already; choose another folder, or use --force")
    config = AutoConfig.from_pretrained(source)
    model = read_any_format(model_class(config), config, Path(source))
    if model.load_report is not None and model.load_report.new:
        raise ValueError(
            f"{source} lacks tensors of {type(model).__name__}, which would be written at random: "
            f"{', '.join(model.load_report.new[:5])}"
        )
    if untie:
        untie_halves(model)
    with replacing(target, drop=is_weights_file) as new:
        for path in Path(source).iterdir():
            if path.is_file() and not path.name.startswith(LEFT_BEHIND):
                shutil.copy2(path, new / path.name)
        model.write_to(new, dtype)
    return model


def read_any_format(kind: type[PretrainedModel], config: Any, source: Path) -> PretrainedModel:
    """Load a folder whose tensors may also be in TensorFlow's or Flax's files.

    Args:
        kind: the class to load
        config: the settings
        source: the folder

    Raises:
        FileNotFoundError: if the folder holds none of the formats.
    """
    native = ("model.safetensors", INDEX, "pytorch_model.bin", "pytorch_model.bin.index.json")
    if any((source / name).is_file() for name in native):
        return kind.from_pretrained(source, config=config)
    for name, read in FOREIGN.items():
        tensors: dict[str, Array] = {}
        for file in files_of(source, name):
            tensors |= read(file)
        if tensors:
            model = kind.from_tensors(config, tensors)
            model.read_settings(source)
            return model
    return kind.from_pretrained(source, config=config)


def files_of(source: Path, name: str) -> list[Path]:
    """List the files of a format: one, its shards, or none.

    Args:
        source: the folder
        name: of a file that is not sharded

    Raises:
        ValueError: if the index of shards names a file outside of the folder.
    """
    index = source / f"{name}.index.json"
    if not index.is_file():
        return [source / name] if (source / name).is_file() else []
    files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    outside = [file for file in files if Path(file).name != file]
    if outside:
        raise ValueError(f"{index} names {outside[0]!r}, which is outside of its own folder")
    return [source / file for file in files]


def model_class(config: Any) -> type[PretrainedModel]:
    """Choose the class that has room for all of a folder's tensors."""
    if config.model_type == EncoderDecoderModel.config_class.model_type:
        return EncoderDecoderModel
    heads = ("LMHead", "ForCausalLM", "ForMaskedLM", "ForPreTraining", "Decoder")
    names = config.other.get("architectures") or [""]
    headed = config.model_type not in ENCODERS or any(head in names[0] for head in heads)
    return DECODERS[config.model_type] if headed else ENCODERS[config.model_type]


def untie_halves(model: PretrainedModel) -> None:
    """Give the encoder of a tied model arrays of its own, equal to the decoder's.

    Raises:
        ValueError: if the model is not tied.
    """
    if not getattr(model.config, "tie_encoder_decoder", False):
        raise ValueError("only a model with tie_encoder_decoder=true in its config can be untied")
    model.config.tie_encoder_decoder = False
    copies = {
        name: array.copy() if name.startswith("encoder.") else array
        for name, array in model.parameters().items()
    }
    model.set_parameters(nest(copies))
