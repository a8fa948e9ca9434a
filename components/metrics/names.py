"""Names of the metrics in an Evaluator's output: written by `classification` and `answers`, gated by
pipeline/gate.py, read by `evaluation`.

Imports nothing.
"""

# === One number per slice ===
EXAMPLE_COUNT = "example_count"
PATIENT_COUNT = "patient_count"
ACCURACY = "accuracy"
BALANCED_ACCURACY = "balanced_accuracy"
LOG_LOSS = "log_loss"
CALIBRATION_ERROR = "calibration_error"
INVALID_PREDICTIONS = "invalid_predictions"

# === One number per slice and class (the metric key's sub-key is the class's index) ===
PRECISION = "precision"
RECALL = "recall"
AUC = "auc"

FIGURES = (ACCURACY, BALANCED_ACCURACY, LOG_LOSS, CALIBRATION_ERROR)
CLASS_FIGURES = (PRECISION, RECALL, AUC)

# === Arrays per slice ===
PATIENTS = "patients"  # int64 [2, class]: patients with an image of the class, and with one that is taken for it
DRAWS = "draws"  # float32 [draw of patients, figure]: FIGURES, then for each of CLASS_FIGURES one column per class
CONFUSION_MATRIX = "confusion_matrix"  # int64 [true class, predicted class; the last column: no valid prediction]
CALIBRATION_BINS = "calibration_bins"  # float64 [bin, (examples, sum of confidences, right answers)]

# === Arrays per slice, one row per example, sorted (answers.py) ===
ANSWERED_IMAGES = "answered_images"  # int64 [example]: answers.image_number of its content hash
ANSWERED_LABELS = "answered_labels"  # int64 [example]: true class
ANSWERED_PROBABILITIES = "answered_probabilities"  # float32 [example, class]

# === Arrays per slice and class ===
ROC = "roc"  # float64 [threshold, (threshold, false positive rate, true positive rate)], one against the rest

CLASS_NAMES = "class_names"  # argument of the metric, in EvalConfig's JSON
