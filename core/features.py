"""Names that data, graph, models and servers share: the only home of feature, signature and output names.

Imports nothing, so that the command line, the server and the client may read it at no cost.
"""

# === Classes and images ===
COVID19, PNEUMONIA, NORMAL = "covid19", "pneumonia", "normal"
CLASS_NAMES = (COVID19, PNEUMONIA, NORMAL)
IMAGE_SIZE = 224  # pixels, height and width of what Transform yields
MAX_PIXELS = 50_000_000  # of one image, wherever one is decoded; the largest detectors have 20 million
SPLITS = TRAIN, VAL, TEST = ("train", "val", "test")
SYNTHETIC = "synthetic"  # value of SOURCE: a made-up image
UNKNOWN = "unknown"  # value of a categorical feature that the source does not state

# === Features of a raw tf.Example (what `cxr ingest` writes) ===
IMAGE = "image"  # bytes: 8-bit grey JPEG or PNG, upright
FORMAT = "format"  # bytes: "jpeg" or "png"
HEIGHT, WIDTH = "height", "width"  # int64, pixels of IMAGE
MEAN, STD = "mean", "std"  # float, grey levels in [0, 255]
LABEL = "label"  # bytes: a class name
PATIENT_ID = "patient_id"  # bytes: pseudonym (keyed hash)
SOURCE, VIEW, SEX = "source", "view", "sex"  # bytes; UNKNOWN where not stated
LICENSE = "license"  # bytes, that the image may be used under; absent where not stated
AGE = "age"  # float, years; absent where not stated
AGE_BAND = "age_band"  # bytes: one of AGE_BANDS
LESION_MASK = "lesion_mask"  # bytes: PNG, 255 where the disease shows, of the image's proportions; absent where nobody drew one
CONTENT_HASH = "content_hash"  # bytes: SHA-256 (hex) of the decoded grey image

AGE_BANDS = ("0-17", "18-39", "40-64", "65+", UNKNOWN)
NUMBERS = (HEIGHT, WIDTH, MEAN, STD, AGE)  # what statistics and drift show of a data set
VALUES = (LABEL, SOURCE, VIEW, SEX, AGE_BAND, FORMAT)
SLICE_FEATURES = (LABEL, SOURCE, VIEW, SEX, AGE_BAND)

# === Logs of requests (what a server with --log-requests writes) ===
REQUEST_LOG_SUFFIX = ".tfrecord"  # of a TFRecord file of tensorflow.serving.PredictionLog

# === Transformed features (what the Transform graph yields) ===
IMAGE_TENSOR = "image_tensor"  # float32 [batch, size, size, 3] in [0, 1], after all preprocessing: crop, contrast, normalisation
LABEL_INDEX = "label_index"  # int64 [batch, 1]; -1: none of the classes
SEEN_BOX = "seen_box"  # float32 [batch, 4], top, left, bottom, right of what IMAGE_TENSOR shows, shares of IMAGE's height and width
WHOLE = (0.0, 0.0, 1.0, 1.0)  # SEEN_BOX of a picture that is shown in full

# === Signatures and outputs of every SavedModel ===
SIGNATURE_EXAMPLES = "serving_default"  # input "examples": string [batch], serialized tf.Examples
SIGNATURE_BYTES = "image_bytes"  # input "image_bytes": string [batch], encoded JPEG or PNG
SIGNATURE_TENSOR = "image_tensor"  # input "image_tensor": an IMAGE_TENSOR, no picture: the server applies no preprocessing to it
SIGNATURE_LABELS = "transform_labels"  # input "examples": string [batch], serialized tf.Examples; output LABEL_INDEX, for TFMA
SIGNATURE_GRADCAM = "gradcam"  # inputs "image_bytes" as above and CLASS_INDEX; outputs those of SIGNATURE_BYTES and the heat maps below
SIGNATURE_READING = "image_reading"  # input "image_reading": string [batch], any; outputs MAX_SIDE to CONFORMAL_COVERAGE

EXAMPLES = "examples"
CLASS_INDEX = "class_index"  # int64 [batch], which class to explain; PREDICTED_CLASS, the default of a request for one image: see there
PREDICTED_CLASS = -1  # of CLASS_INDEX: the most probable one
PROBABILITIES = "probabilities"  # float32 [batch, classes]
MAX_SIDE = "max_side"  # int64 [batch], pixels that longer images were scaled down to before training; 0: none was
READING_RULES = "reading_rules"  # int64 [batch], see data/images/reader.py; absent: 1
LEARNT_FROM_SYNTHETIC = "learnt_from_synthetic"  # bool [batch], from at least one made-up image; absent where nobody knows
CONFORMAL_COVERAGE = "conformal_coverage"  # float32 [batch], share of images whose class CONFORMAL_SET shall hold; absent where that is
PREDICTED_LABEL = "label"  # string [batch]
OUTPUT_CLASS_NAMES = "class_names"  # string [batch, classes], the order of PROBABILITIES
UNLIKE_TRAINING = "unlike_training"  # float32 [batch], 0: like the training images, 0.5: the border, 1: nothing like them; may be absent
UNLIKE_BORDER = 0.5  # of UNLIKE_TRAINING
OUTSIDE = "outside"  # bool [batch], UNLIKE_TRAINING beyond UNLIKE_BORDER; absent where that is
OUTSIDE_SAID = "outside of what the model knows"  # of such an image, for people
CONFORMAL_SET = "conformal_set"  # bool [batch, classes], which classes it may be; may be absent
MEMBER_PROBABILITIES = "probabilities_{member}"  # ensemble only, float32 [batch, classes] per member
HEAT_MAP = "heat_map"  # float32 [batch, rows, columns] in [0, 1]: which regions speak for the class; covers the whole picture
HEAT_MAP_EMPTY = "heat_map_empty"  # bool [batch], no region does: HEAT_MAP is zero
EXPLAINED_CLASS = "explained_class"  # int64 [batch], index into OUTPUT_CLASS_NAMES
MEMBER_HEAT_MAP = "heat_map_of_{member}"  # ensemble only, a member's own for the same class, of HEAT_MAP's shape
ENSEMBLE = "ensemble"  # name of the ensemble among the models


def age_band(age: float | None) -> str:
    """Returns the band of AGE_BANDS that an age in years falls in; UNKNOWN for None."""
    if age is None:
        return UNKNOWN
    for band, limit in zip(AGE_BANDS[:-1], (18, 40, 65, float("inf")), strict=True):
        if age < limit:
            return band
    return UNKNOWN
