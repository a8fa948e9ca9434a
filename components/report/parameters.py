"""Names that whoever runs the component has to know; imports nothing, as a node's process may have to say something before TFX is there."""

STEPS = "steps"  # parameter: JSON list of objects with the fields of page.content.Step, which the runner fills in; none: not known
