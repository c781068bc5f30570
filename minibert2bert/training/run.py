"""A run of the training loop: what it was told, how far it has come, and what it tells."""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from minibert2bert.arrays import Array
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.batches import Pair, count_targets, epoch_batches, pair_lengths
from minibert2bert.training.checkpoint import (
    Progress,
    checkpoints_in,
    copy_from_first,
    explained,
    load_arrays,
    open_output,
    read_state,
    save_checkpoint,
)
from minibert2bert.training.diagnosis import check_pairs, diagnose, rehearse
from minibert2bert.training.evaluation import evaluate, ignored_source
from minibert2bert.training.events import (
    Evaluation,
    Event,
    Saved,
    Started,
    TrainingResult,
    TrainingStep,
    TrainingWarning,
    Warned,
)
from minibert2bert.training.gradients import check_finite, loss_and_gradients, trainable_parameters
from minibert2bert.training.log import Log
from minibert2bert.training.optimizer import clip_by_global_norm, make_optimizer
from minibert2bert.training.parallel import Processes
from minibert2bert.training.resume import check_same, circumstances, other_processes
from minibert2bert.training.schedule import make_schedule
from minibert2bert.training.settings import TrainingSettings

Callback = Callable[[Event], None]


class Run:
    """A run of train: what it was told, and how far it has come.

    Attributes:
        progress: how far it has come
        params: the parameters that are trained
        optimizer: what moves them
        schedule: from a step to the factor of the learning rate
        steps_per_epoch: batches that the pairs make
        total_steps: where the run ends, if nothing ends it earlier
    """

    def __init__(
        self,
        model: EncoderDecoderModel,
        pairs: Sequence[Pair],
        settings: TrainingSettings,
        eval_pairs: Sequence[Pair] | None,
        output_dir: str | Path | None,
        callbacks: Sequence[Callback],
        processes: Processes,
    ) -> None:
        """Look at what is given, and prepare the first step; see train."""
        for given in (pairs, eval_pairs):
            if given is not None:
                check_pairs(given)
                rehearse(model, given)
        self.model, self.pairs, self.eval_pairs = model, pairs, eval_pairs
        self.settings, self.processes = settings, processes
        self.progress = Progress()
        self.params = trainable_parameters(model.parameters(), settings.freeze)
        self.optimizer = make_optimizer(settings, self.params)
        self.steps_per_epoch = math.ceil(len(pairs) / settings.train_batch_size)
        self.total_steps = settings.total_steps(self.steps_per_epoch)
        self.schedule = make_schedule(
            settings.lr_scheduler_type,
            settings.warmup_steps,
            self.total_steps,
            settings.final_share,
        )
        is_first = processes.rank == 0
        self.output = Path(output_dir) if output_dir is not None and is_first else None
        self.callbacks = list(callbacks) if is_first else []
        self._lengths = pair_lengths(pairs)
        self._epoch, self._batches = -1, list[Array]()
        self._began = time.perf_counter()

    def start(self, resume: bool) -> None:
        """Begin, or go on from the newest checkpoint; then say what looks wrong."""
        messages: list[str] = []
        if self.output is not None:
            messages += self._open(self.output, resume)
        self.progress, messages = self.processes.broadcast((self.progress, messages))
        copy_from_first(self.model, self.optimizer, self.processes)
        if self.progress.step == 0:
            messages += diagnose(self.next_batch(), self.model.config)
        self.tell(Started(self.progress.step, self.total_steps))
        for message in messages:
            self.warn(message)

    def _open(self, output: Path, resume: bool) -> list[str]:
        """Restore the newest checkpoint, if there is one, and cut the log down to it."""
        log = Log(output, self.settings.logging_every)
        self.circumstances = circumstances(
            self.settings, self.pairs, self.eval_pairs, self.total_steps, self.processes.size
        )
        folder = open_output(output, resume, self.settings.save_total_limit)
        message = None
        if folder is not None:
            state = read_state(folder)
            check_same(state, self.circumstances)
            load_arrays(folder, self.model, self.optimizer, state["optimizer_steps"])
            self.progress = Progress(**state["progress"])
            message = other_processes(state, self.circumstances)
        log.keep_until(self.progress.step if folder is not None else -1)
        self.callbacks.insert(0, log)
        return [] if message is None else [message]

    def next_batch(self) -> list[Pair]:
        """Return the pairs of the step that comes next."""
        epoch, index = divmod(self.progress.step, self.steps_per_epoch)
        if epoch != self._epoch:
            size, seed = self.settings.train_batch_size, self.settings.seed
            self._epoch, self._batches = epoch, epoch_batches(self._lengths, size, seed, epoch)
        return [self.pairs[number] for number in self._batches[index]]

    def loss_and_gradients(self, batch: Sequence[Pair]) -> tuple[float, dict[str, Array]]:
        """Take the loss of a batch and its gradients, together with the other processes.

        Returns:
            loss: in nats for each target; gradients: under the first name of each array
        """
        self._began = time.perf_counter()
        step = self.progress.step
        return loss_and_gradients(
            self.model, batch, self.params, self.settings, step, self.processes
        )

    def step(self, batch: Sequence[Pair], loss: float, gradients: dict[str, Array]) -> None:
        """Take an optimizer step, unless one of the numbers is none."""
        clipped, norm = clip_by_global_norm(gradients, self.settings.max_grad_norm or math.inf)
        step = self.progress.step + 1
        self._check_finite(step, {"loss": loss, "length of the gradients": norm})
        learning_rate = self.settings.learning_rate * self.schedule(step - 1)
        self.optimizer.step(clipped, learning_rate)
        self.progress = replace(self.progress, step=step, train_loss=loss)
        targets = count_targets(batch)
        tokens = targets + sum(len(source) for source, _ in batch)
        speed = tokens / (time.perf_counter() - self._began)
        epoch = step / self.steps_per_epoch
        self.tell(TrainingStep(step, epoch, loss, learning_rate, norm, targets, speed))

    def evaluate(self) -> None:
        """Measure the held-out loss, and keep the model if it is the best so far."""
        if self.eval_pairs is None:
            return
        size = self.settings.eval_batch_size
        loss, dependence = evaluate(self.model, self.eval_pairs, size, self.processes)
        step, best = self.progress.step, self.progress.best_loss
        self._check_finite(step, {"held-out loss": loss})
        is_best = best is None or loss < best
        if is_best:
            self.progress = replace(
                self.progress, best_loss=loss, best_step=step, evaluations_without_improvement=0
            )
        else:
            waited = self.progress.evaluations_without_improvement + 1
            self.progress = replace(self.progress, evaluations_without_improvement=waited)
        self.tell(Evaluation(step, step / self.steps_per_epoch, loss, dependence, is_best))
        message = ignored_source(loss, dependence)
        if message is not None:
            self.warn(message)
        if is_best:
            self._save_model()

    def save(self) -> None:
        """Write a checkpoint."""
        if self.output is not None:
            folder = save_checkpoint(
                self.output,
                self.model,
                self.optimizer,
                self.progress,
                self.circumstances,
                self.settings.save_total_limit,
            )
            self.tell(Saved(self.progress.step, str(folder)))

    def finish(self) -> TrainingResult:
        """Write the last model where there is no best one, and sum up."""
        if self.eval_pairs is None:
            self._save_model()
        progress = self.progress
        return TrainingResult(
            progress.step,
            progress.step / self.steps_per_epoch,
            progress.train_loss,
            progress.best_loss,
            progress.best_step,
            progress.step < self.total_steps,
        )

    def is_finished(self) -> bool:
        """Tell whether the last step was taken, or patience has run out."""
        patience = self.settings.early_stopping_patience
        waited = self.progress.evaluations_without_improvement
        out_of_patience = patience is not None and waited >= patience
        return self.progress.step >= self.total_steps or out_of_patience

    def is_due(self, every: int | None) -> bool:
        """Tell whether what happens every so many steps, and at the end, happens now."""
        return self.progress.step % (every or self.steps_per_epoch) == 0 or self.is_finished()

    def tell(self, event: Event) -> None:
        """Call the callbacks."""
        for callback in self.callbacks:
            callback(event)

    def warn(self, message: str) -> None:
        """Say that something looks wrong: to the callbacks, and as a warning of Python."""
        self.tell(Warned(self.progress.step, message))
        if self.processes.rank == 0:
            warnings.warn(message, TrainingWarning, stacklevel=4)

    def _check_finite(self, step: int, numbers: dict[str, float]) -> None:
        found = checkpoints_in(self.output) if self.output is not None else []
        check_finite(numbers, step, self.settings, found[-1] if found else None)

    def _save_model(self) -> None:
        if self.output is not None:
            with explained(self.output):
                self.model.save_pretrained(self.output)
            self.tell(Saved(self.progress.step, str(self.output)))
