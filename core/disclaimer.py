"""What every output says of the software that made it: pages, tables, model cards and the command line."""

NOT_A_DEVICE = "Research software, not a diagnostic device."
NOT_VALIDATED = "Nothing here has been validated for clinical use, and no output may guide the care of a patient."
SYNTHETIC = "SYNTHETIC images: the numbers say nothing about patients"
DISCLAIMER = f"{NOT_A_DEVICE} {NOT_VALIDATED}"
