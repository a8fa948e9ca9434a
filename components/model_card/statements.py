"""What every card says of its model."""

INTENDED = "Research on the classification of frontal chest radiographs, and the operation of such models: training, evaluation, serving."
NOT_INTENDED = (
    "Diagnosis, triage, screening or any other use on patients; children; lateral views; other organs; "
    "radiographs of another hospital without a measurement there (`cxr evaluate`)."
)
LIMITS = (
    "A model can recognise a collection, a scanner or an exposure instead of a disease: see Shortcuts.",
    "Intervals are by patient, from a bootstrap over patients. They say what other patients of the same "
    "collections would change, not what another hospital would.",
    "Labels are those of the collections, some of them mined from reports. The model learns their errors too.",
)
