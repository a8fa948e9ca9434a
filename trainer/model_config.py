"""What one model is and how it is trained: the typed, immutable part of the configuration that the trainers read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cxr.core.errors import CxrError
from cxr.core.strict_model import Seed, StrictModel

IMAGENET, NONE = "imagenet", "none"  # values of `weights` that name no folder
WITHOUT_FOLDER = (IMAGENET, NONE)


class Augmentation(StrictModel):
    """Slight random changes, on the training split only (the paper's ImageDataGenerator: zoom and rotation).

    The others blur what tells one hospital's pictures from another's. A frozen backbone sees `variants` changed copies of each image, which
    are computed once; a backbone that learns sees new changes in every epoch.
    """

    zoom: float = Field(0.0, ge=0, lt=1, description="largest zoom in or out, as a share of the side")
    rotation: float = Field(0.0, ge=0, le=180, description="largest rotation, degrees")
    horizontal_flip: bool = False
    exposure: float = Field(0.0, ge=0, lt=1, description="largest change of the window's level and width, as a share of the grey levels")
    gamma: float = Field(0.0, ge=0, le=3, description="largest exponent is 1 more than this, the smallest its inverse")
    blur: float = Field(0.0, ge=0, le=10, description="largest standard deviation, pixels of the picture that Transform yields")
    noise: float = Field(0.0, ge=0, lt=1, description="largest standard deviation, as a share of the grey levels")
    border: float = Field(0.0, ge=0, lt=0.5, description="widest frame, as a share of the side: black, white or cut off")
    marker: float = Field(0.0, ge=0, le=1, description="probability of letters or a rectangle in each corner")
    variants: int = Field(0, ge=0, description="augmented copies of each image whose features the head stage keeps")

    @property
    def changes_images(self) -> bool:
        """Whether it changes images at all."""
        return any(getattr(self, name) for name in type(self).model_fields if name != "variants")

    @model_validator(mode="after")
    def _check_variants(self) -> Augmentation:
        if self.variants and not self.changes_images:
            raise ValueError("variants would all be the same; set zoom, rotation, horizontal_flip, exposure or another change")
        return self


class Head(StrictModel):
    """Layers on top of the backbone's last feature map."""

    pooling: Literal["global", "average"] = Field("global", description="average: the paper's AveragePooling2D + Flatten")
    pool_size: int = Field(4, ge=1, description="window of AveragePooling2D, cells of the feature map")
    normalize: bool = Field(False, description="standardise the pooled features with the training split's mean and variance")
    hidden_units: int = Field(0, ge=0, description="width of the Dense layer before the output; 0: none")
    dropout: float = Field(0.0, ge=0, lt=1)
    l2: float = Field(0.0, ge=0, description="L2 penalty of the head's kernels")


class Loss(StrictModel):
    """What training minimises."""

    name: Literal["categorical_crossentropy", "mean_squared_error"] = "categorical_crossentropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_smoothing(self) -> Loss:
        if self.label_smoothing and self.name != "categorical_crossentropy":
            raise ValueError("label_smoothing goes with categorical_crossentropy only")
        return self


class Optimizer(StrictModel):
    """How it does so."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0, description="adamw only")

    @model_validator(mode="after")
    def _check_decay(self) -> Optimizer:
        if self.weight_decay and self.name != "adamw":
            raise ValueError("weight_decay goes with adamw only")
        return self


Monitor = Literal["loss", "accuracy", "val_loss", "val_accuracy"]


class EarlyStopping(StrictModel):
    """Ends a stage when the monitored figure stops improving."""

    monitor: Monitor = "val_loss"
    patience: int = Field(5, ge=0)
    restore_best: bool = True


class ReduceOnPlateau(StrictModel):
    """Lowers the learning rate when the monitored figure stops improving."""

    monitor: Monitor = "val_loss"
    factor: float = Field(0.5, gt=0, lt=1)
    patience: int = Field(3, ge=0)
    min_learning_rate: float = Field(1e-7, ge=0)


class Stage(StrictModel):
    """One stretch of training."""

    epochs: int = Field(16, ge=1)
    batch_size: int = Field(16, ge=1)
    optimizer: Optimizer = Optimizer()
    early_stopping: EarlyStopping | None = None
    reduce_on_plateau: ReduceOnPlateau | None = None

    def check_monitors(self, setting: str, *, has_validation: bool) -> None:
        """Refuses to watch what will not be measured.

        Args:
          setting: Where the stage stands in the configuration, such as "models.mobilenet.head_training"; may be empty.
          has_validation: There is a validation split.

        Raises:
          CxrError: A monitor of the validation split, and there is none.
        """
        for field in ("early_stopping", "reduce_on_plateau"):
            watched = getattr(self, field)
            if watched and watched.monitor.startswith("val_") and not has_validation:
                key = ".".join(filter(None, (setting, field, "monitor")))
                raise CxrError(f"{key}: {watched.monitor} needs a validation split and the data have none; monitor loss or accuracy")


class FineTuning(Stage):
    """Stage (b): the backbone learns too, at a small learning rate."""

    optimizer: Optimizer = Optimizer(learning_rate=1e-5)
    last_layers: int | None = Field(None, ge=1, description="how many of the backbone's last layers learn; null: all of them")


class Calibrated(StrictModel):
    """What a model's answers say about themselves; fitted on the validation split, without one left out."""

    calibration: Literal["temperature", "none"] = Field(
        "temperature", description="temperature: probabilities as sure as they are right (Guo 2017); none: as the network yields them"
    )
    outside_share: float | None = Field(
        0.05, gt=0, lt=1, description="share of the validation images that the output `outside` may flag; null: no such output"
    )
    conformal_coverage: float | None = Field(
        0.9, gt=0, lt=1, description="share of images whose class the output `conformal_set` shall hold; null: no such output"
    )


USUAL_BACKBONES = ("DenseNet201", "EfficientNetB7", "MobileNet")  # Keras, which takes seconds, need not be asked whether it has them


class Model(Calibrated):
    """One candidate: a backbone with its head.

    Stages: `head_training` trains the head on the frozen backbone's cached features; `fine_tuning` trains backbone and head together
    afterwards. `head_training: null` with `fine_tuning` and weights "none" is training from scratch.
    """

    backbone: str = Field(description="an entry of trainer/models/backbones.py, or any keras.applications model by name")
    weights: str = Field(IMAGENET, description='"imagenet", "none", or a folder with <backbone>_notop.weights.h5 / .h5 files')
    imagenet_rescaling: bool = Field(
        True,
        description="EfficientNetB0 to B7 with trained weights: divide the pixels by sqrt(std) once more, as Keras does "
        "where it loads ImageNet weights; false: .h5 files of a network that was built with weights=None "
        "(a .keras file holds its network and needs no such choice)",
    )
    allow_random_weights: bool = Field(False, description="go on without weights where the asked-for ones cannot be had")
    input_adapter: Literal["auto", "identity"] = Field("auto", description="identity: feed [0, 1] as it is (the paper's mistake)")
    image_size: Annotated[int, Field(ge=32)] | Literal["native"] | None = Field(
        None, description="pixels the backbone gets; native: those its ImageNet weights were trained on; null: what Transform yields"
    )
    bn_recalibration: Literal["none", "per_layer", "per_channel"] = Field(
        "none",
        description="batch norm statistics from training images, before the head stage, for random weights; per_layer: one variance per "
        "layer; per_channel: mean and variance of every channel, also after training from scratch",
    )
    head: Head = Head()
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    head_training: Stage | None = Stage()
    fine_tuning: FineTuning | None = None
    class_weights: bool = Field(
        False,
        description="weigh the classes by their inverse frequency in the training split; probabilities are then of equally common classes",
    )
    source_weights: bool = Field(
        False, description="within each class, weigh every source (collection, hospital) alike; a class of one source cannot be balanced"
    )
    mixed_precision: bool = Field(
        False, description="float16 on a GPU; bfloat16 for frozen backbones on a CPU with instructions for it; else float32"
    )
    all_gpus: bool = Field(False, description="fine-tuning on as many of the visible GPUs as share its batch_size evenly")
    seed: Seed = 2021

    @model_validator(mode="after")
    def _check_stages(self) -> Model:
        if self.head_training is None and self.fine_tuning is None:
            raise ValueError("nothing would be trained; set head_training or fine_tuning")
        if self.head_training is None and self.fine_tuning is not None and self.fine_tuning.last_layers is not None:
            raise ValueError("fine_tuning.last_layers needs a trained head; set head_training, or last_layers: null")
        return self

    @property
    def augments_nothing(self) -> bool:
        """Whether `augmentation` is set and does nothing: a frozen backbone sees changed images as `variants` only."""
        return self.augmentation.changes_images and not self.augmentation.variants and self.fine_tuning is None

    def check_monitors(self, setting: str, *, has_validation: bool) -> None:
        """See `Stage.check_monitors`; here `setting` is the model's place in the configuration."""
        for name in ("head_training", "fine_tuning"):
            if stage := getattr(self, name):
                stage.check_monitors(f"{setting}.{name}", has_validation=has_validation)


MOST_MEMBERS = 8  # of an ensemble: each is an input of its own to the nodes that read them


class Ensemble(Calibrated):
    """How the trained, frozen members are joined."""

    method: Literal["auto", "soft", "hard", "weighted", "stacking"] = Field(
        "auto", description="auto: the lowest loss on the validation split among those at least as accurate there as the best member"
    )
    fitted_on: Literal["out_of_fold", "training"] = Field(
        "out_of_fold",
        description="whose answers the weights of weighted and stacking are fitted to: out_of_fold: to training images that the answering "
        "head has not seen (where a member's backbone learns too: to one half of the validation patients, the other half chooses); "
        "training: to the training images that the members learnt from, by which they flatter themselves",
    )
    folds: int = Field(3, ge=2, description="by patient, for the out-of-fold answers: so many more heads are trained on cached features")
    start: Literal["average", "random"] = Field("average", description="initial value of the stacking method's Dense layer")
    loss: Loss = Loss()
    stage: Stage = Stage()
    seed: Seed = 2021

    def check_validation(self, setting: str, *, has_validation: bool) -> None:
        """Refuses a method, or a monitor of its training, that needs a validation split where there is none.

        Args:
          setting: Where it stands in the configuration.
          has_validation: There is a validation split.

        Raises:
          CxrError: See above.
        """
        if self.method == "auto" and not has_validation:
            raise CxrError(
                f"{setting}.method: 'auto' needs a validation split; add one to the data, or choose soft, hard, weighted or stacking"
            )
        if self.method == "stacking":  # the others train nothing
            self.stage.check_monitors(f"{setting}.stage", has_validation=has_validation)
