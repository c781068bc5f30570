"""The training loop: batch, loss, gradients, step."""

from collections.abc import Sequence
from pathlib import Path

from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.batches import Pair
from minibert2bert.training.events import TrainingResult
from minibert2bert.training.parallel import ALONE, Processes
from minibert2bert.training.run import Callback, Run
from minibert2bert.training.settings import TrainingSettings


def train(
    model: EncoderDecoderModel,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    eval_pairs: Sequence[Pair] | None = None,
    output_dir: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    processes: Processes = ALONE,
) -> TrainingResult:
    """Train a model in place.

    Afterwards the model is that of the last step. The output folder holds log.jsonl, the
    checkpoints, and a model as save_pretrained writes it: that of the lowest held-out loss, or
    of the last step where nothing is held out.

    Args:
        model: its parameters change; its config's pad_token_id and decoder_start_token_id are used.
        pairs: sources and labels, see batches.Pair
        settings: how to train
        eval_pairs: held-out pairs; None evaluates nothing.
        output_dir: what to write to; None writes nothing.
        resume: whether to go on from the newest checkpoint of output_dir, as if the run had never
            stopped; if there is none, the run starts from the beginning.
        callbacks: called with each event, see events.py, by process 0
        processes: those that train together; each calls this function with the same arguments.

    Returns:
        how it ended

    Raises:
        ValueError: if pairs or settings do not fit the model, or, to resume, the earlier run.
        FloatingPointError: if a loss or the gradients are no numbers any more; the model is left
            as it was before that step.
        OSError: if the output folder cannot be written; earlier checkpoints are whole.
    """
    try:
        run = Run(model, pairs, settings, eval_pairs, output_dir, callbacks, processes)
        run.start(resume)
        while not run.is_finished():
            batch = run.next_batch()
            loss, gradients = run.loss_and_gradients(batch)
            run.step(batch, loss, gradients)
            if run.is_due(settings.eval_every):
                run.evaluate()
            if run.is_due(settings.save_every):
                run.save()
        return run.finish()
    except BaseException as error:
        processes.abort(error)
        raise
